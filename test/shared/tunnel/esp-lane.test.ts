import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import type { ChildSaKeys } from '#shared/ikev2/ike-output.ts'
import type { Lifetime } from '#shared/ikev2/peer-policy.ts'
import { ALICE, BOB, EspNode, type EspNodeOptions, packetBetween } from './esp-link.ts'
import { aes256gcm, selector } from './esp-pair.ts'
import { FakeLane, LanedHost } from './fake-lane.ts'
import { VirtualNetwork } from './virtual-link.ts'

const away = { address: '203.0.113.5', port: 5_005 }
const [aliceName, bobName] = ['alice.example', 'bob.example'] as const
const outwards = (length = 64) => packetBetween(aliceName, bobName, 7, length)
const homewards = (length = 64) => packetBetween(bobName, aliceName, 7, length)

/** Two ends with an association that Alice began, each with a lane of its own. */
function connected(seed: number, options: EspNodeOptions = {}, lifetime: Partial<Lifetime> = {}) {
  const network = new VirtualNetwork(seed)
  const lanes = [new FakeLane(), new FakeLane()] as const
  const node = (name: string, at: typeof ALICE, lane: FakeLane): EspNode =>
    new EspNode(network, name, at, { ...options, lifetime, endpoint: { ...options.endpoint, lane } })
  const a = node(aliceName, ALICE, lanes[0])
  const b = node(bobName, BOB, lanes[1])
  const alice = new LanedHost<EspNode, EspNode>(a, lanes[0])
  const bob = new LanedHost<EspNode, EspNode>(b, lanes[1])
  a.peer(b, { firstContact: true })
  assert.ok(network.run(5_000, () => a.to(b).state === 'established'))
  network.run(200)
  return {
    network,
    alice,
    bob,
    a,
    b,
    toBob: (packet = outwards()) => alice.send(b, packet),
    toAlice: (packet = homewards()) => bob.send(a, packet),
  }
}

type Made = ReturnType<typeof connected>

/** Each lane holds what its association has, and sends by what that sends with. */
function assertSettled({ alice, bob, a, b }: Made): void {
  for (const [{ lane }, association] of [
    [alice, a.to(b)],
    [bob, b.to(a)],
  ] as const) {
    assert.deepEqual(
      [...lane.held.keys()],
      Array.from(association.sessions, ({ inboundSpi }) => inboundSpi),
    )
    assert.equal(lane.routes.get(association)?.local, association.session?.inboundSpi)
    assert.deepEqual(lane.routes.get(association)?.to, association.endpoint)
  }
}

function rekey({ a, b, network }: Made): void {
  const { ike, session } = a.to(b)
  ike!.sa.rekeyChild(session!.inboundSpi, network.now)
  ike!.settle(network.now)
}

test('SPIs are such as suit the lane for that peer', () => {
  const made = connected(9)
  const { network, alice, bob, a, b } = made
  const asked = new Set<string>()
  for (const [{ lane }, residue] of [
    [alice, 3],
    [bob, 5],
  ] as const)
    lane.suits = (spi, peerKey) => {
      asked.add(peerKey)
      return spi % 8 === residue
    }
  rekey(made)
  network.run(500)
  assert.deepEqual([a.to(b).session!.inboundSpi % 8, b.to(a).session!.inboundSpi % 8], [3, 5])
  assert.deepEqual(asked, new Set([a.to(b).peerKey, b.to(a).peerKey]))
  assertSettled(made)
})

test('a Child SA is lent to both lanes with its keys and salts: data goes by them, both ways, and all is counted', () => {
  for (const [esp, algorithm, keyLength] of [
    ['aes256gcm16-x25519-esn-noesn', 'aes-256-gcm', 32],
    ['aes128gcm16-x25519-noesn', 'aes-128-gcm', 16],
    ['chacha20poly1305-x25519-esn', 'chacha20-poly1305', 32],
  ] as const) {
    const made = connected(1, { esp: [esp] })
    const { network, alice, bob, a, b, toBob, toAlice } = made
    assertSettled(made)
    for (const { lane } of [alice, bob]) {
      const [session] = lane.installed
      assert.deepEqual(
        [session?.algorithm, session?.esn, session?.firstNumber],
        [algorithm, !esp.endsWith('-noesn') || esp.includes('-esn'), 1],
      )
      assert.deepEqual([session?.otherTraffic, session?.expiresAt], [false, undefined])
      assert.ok(
        [session!.sendKey, session!.receiveKey].every((key) => key.length === keyLength && key.every((byte) => byte === 0)),
      )
    }
    const before = { ...a.to(b).counters }
    for (let i = 0; i < 20; i++) assert.ok(toBob() > 0 && toAlice() > 0)
    network.run(100)
    assert.deepEqual([a.received.length, b.received.length], [20, 20])
    const { outerSent, innerSent, innerReceived } = a.to(b).counters
    assert.ok(outerSent - before.outerSent > 20 * 64)
    assert.deepEqual([innerSent - before.innerSent, innerReceived - before.innerReceived], [1_280, 1_280])
    assert.deepEqual([a.to(b).session!.packets, b.to(a).session!.packets], [40, 40])
    assert.equal(a.to(b).session!.bytes, b.to(a).session!.bytes)
  }
})

test('ciphers without one tag for all stay with the endpoint', () => {
  for (const esp of ['aes256gmac-x25519-noesn', 'aes256-sha256-x25519-noesn']) {
    const { network, alice, a, b, toBob } = connected(2, { esp: [esp] })
    assert.deepEqual(alice.lane.calls, [])
    assert.ok(!a.to(b).session!.isLaned)
    toBob()
    network.run(100)
    assert.equal(b.received.length, 1)
  }
})

test('P-01 a Child SA that the lane holds is opened there alone: elsewhere it is refused, and handed on', () => {
  const { network, bob, a, b, toBob } = connected(3)
  network.filter = () => false
  network.sent.length = 0
  toBob()
  const datagram = network.sent[0]!.bytes
  const out = new Uint8Array(200)
  assert.equal(b.to(a).session!.open(datagram, out), DropReason.HeldByLane)
  assert.equal(b.endpoint.open(datagram, ALICE, out, network.now), DropReason.HeldByLane)
  assert.equal(bob.lane.verdicts.at(-1), 64)
  assert.equal(b.endpoint.open(datagram, ALICE, out, network.now), DropReason.HeldByLane)
  assert.equal(bob.lane.verdicts.at(-1), DropReason.Replayed)
  assert.equal(b.endpoint.counters.of(DropReason.HeldByLane), 0)
})

test('A-25 both threads seal with one Child SA and never with the same number', () => {
  const { network, a, b, toBob } = connected(4)
  network.sent.length = 0
  for (let i = 0; i < 40; i++) {
    toBob()
    if (i % 3 === 0) a.endpoint.sendKeepalive(a.to(b), network.now)
    if (i % 5 === 0) a.send(b)
    network.run(7)
  }
  network.run(100)
  const numbers = network.sent
    .filter(({ to }) => to.port === BOB.port)
    .map(({ bytes }) => Buffer.from(bytes.subarray(0, 16)).toString('hex'))
  assert.equal(new Set(numbers).size, numbers.length)
  assert.equal(b.received.length, 48)
})

test('a rekeyed Child SA takes over without a loss; the one before is received for a while, and released', () => {
  const made = connected(5)
  const { network, alice, a, b, toBob, toAlice } = made
  for (let i = 0; i < 40; i++) {
    if (i === 10 || i === 25) rekey(made)
    toBob()
    toAlice()
    network.run(5)
  }
  network.run(100)
  assert.deepEqual([a.received.length, b.received.length], [40, 40])
  assert.ok(alice.lane.held.size >= 2)
  network.run(10_000)
  assert.equal(alice.lane.held.size, 1)
  assertSettled(made)
  assert.ok(alice.lane.installed.every(({ otherTraffic }) => !otherTraffic))
})

test('lifetimes in packets and bytes count what the lanes move, and what is spent is no more held', () => {
  for (const [lifetime, packets] of [
    [{ softPackets: 50, hardPackets: 80 }, 50],
    [{ softBytes: 50 * 100, hardBytes: 80 * 100 }, 50],
  ] as const) {
    const made = connected(6, {}, lifetime)
    const { network, a, b, toBob } = made
    const first = a.to(b).session!
    for (let i = 0; i < packets; i++) {
      toBob()
      network.run(5)
    }
    network.run(1_000)
    assert.notEqual(a.to(b).session, first)
    assertSettled(made)
    assert.equal(b.received.length, packets)
  }
  const made = connected(7, {}, { softPackets: 50, hardPackets: 80 })
  const { network, alice, bob, a, b, toBob } = made
  const { inboundSpi } = a.to(b).session!
  network.filter = ({ bytes }) => bytes[0] !== 0
  for (let i = 0; i < 100; i++) {
    toBob()
    network.run(5)
  }
  assert.ok(!alice.lane.held.has(inboundSpi))
  assert.equal(alice.lane.routes.size, 0)
  assert.ok(b.received.length >= 80 && b.received.length <= 84, `late by what one turn carries: ${b.received.length}`)
  assert.equal(bob.lane.held.size, 0)
})

test('A-25 shared numbers are renewed from 2^31 on', () => {
  const made = connected(8)
  const { network, alice, a, b, toBob } = made
  const first = a.to(b).session!
  alice.lane.held.get(first.inboundSpi)!.words[0] = 2 ** 31 - 1
  toBob()
  network.run(1_000)
  assert.notEqual(a.to(b).session, first)
  assertSettled(made)
})

test('roaming: the path follows the first packet; the lane sends there once a newer one has proven the place (A-14)', () => {
  const { network, alice, bob, a, b, toBob, toAlice } = connected(9)
  network.move(alice, away)
  toBob()
  network.run(11)
  assert.deepEqual(b.to(a).endpoint, away)
  assert.equal(bob.lane.routes.size, 0)
  for (let i = 0; i < 50; i++) toAlice(homewards(200))
  const poured = network.sent.filter(({ to, bytes }) => to.port === away.port && bytes[0] !== 0)
  assert.ok(poured.reduce((sum, { bytes }) => sum + bytes.length, 0) <= 3 * 150)
  toBob()
  network.run(50)
  assert.deepEqual(bob.lane.routes.get(b.to(a))?.to, away)
})

test('MOBIKE: a move that the peer has proven sends the lane there at once', () => {
  const made = connected(10)
  const { network, alice, a, b, toAlice } = made
  network.move(alice, away)
  a.endpoint.initiate(a.to(b), network.now)
  network.run(500)
  assertSettled(made)
  assert.deepEqual(b.to(a).endpoint, away)
  assert.ok(toAlice() > 0)
  network.run(50)
  assert.equal(a.received.length, 1)
})

test('passive keepalive and silence: what the lane moved counts', () => {
  const { network, a, b, toBob } = connected(11)
  network.sent.length = 0
  toBob()
  network.run(14_000)
  const back = network.sent.filter(({ from }) => from.port === BOB.port)
  assert.deepEqual([back.length, back[0]!.at - network.sent[0]!.at >= 10_000], [1, true])
  network.loss = 1
  toBob()
  network.sent.length = 0
  network.run(14_900)
  assert.equal(network.sent.length, 0)
  assert.ok(
    network.run(600, () => network.sent.some(({ bytes }) => bytes[0] === 0)),
    'a sign of life is asked for',
  )
  assert.equal(a.to(b).state, b.to(a).state)
})

test('the lane sends by itself only where one Child SA carries everything', () => {
  const made = connected(12)
  const { network, alice, a, b } = made
  const association = a.to(b)
  const direction = (spi: number) => ({ spi, encryption: new Uint8Array(36).fill(spi), integrity: new Uint8Array(0) })
  const keys: ChildSaKeys = {
    inbound: direction(0x8000_0001),
    outbound: direction(0x8000_0002),
    algorithms: aes256gcm,
    esn: true,
    localSelectors: [selector('::/0')],
    remoteSelectors: [selector('fd00::63/128')],
    tfcRefused: false,
  }
  association.childUp(association.ike!, keys, undefined, network.now)
  assert.equal(alice.lane.held.size, 2)
  assert.equal(alice.lane.routes.size, 1, 'it does not send yet')
  assert.deepEqual(
    alice.lane.installed.map(({ otherTraffic }) => otherTraffic),
    [false, true],
  )
  association.childUse(keys.inbound.spi, network.now)
  assert.equal(alice.lane.routes.size, 0)
  association.childDown(keys.inbound.spi, 'deleted', network.now)
  assert.equal(alice.lane.routes.size, 1)
  network.run(10_000)
  assertSettled(made)
})

test('the lane, which does not pad, does not send where TFC padding is wanted', () => {
  const { network, alice, a, b, toBob } = connected(13, { endpoint: { tfcPadding: 256 } })
  assert.ok(a.to(b).session!.isLaned)
  assert.equal(alice.lane.routes.size, 0)
  network.sent.length = 0
  toBob()
  assert.ok(network.sent[0]!.bytes.length > 256)
  network.run(50)
  assert.equal(b.received[0]?.packet.length, 64)
})

test('reset, removal and a peer that begins anew leave the lane nothing', () => {
  for (const how of ['reset', 'remove', 'anew'] as const) {
    const made = connected(14)
    const { network, bob, a, b } = made
    if (how === 'reset') b.to(a).reset()
    else if (how === 'remove') b.endpoint.removePeer(b.to(a))
    else {
      a.to(b).reset()
      a.endpoint.initiate(a.to(b), network.now)
      network.run(20_000)
      assertSettled(made)
      continue
    }
    assert.deepEqual([bob.lane.held.size, bob.lane.routes.size], [0, 0])
  }
})

test('what the lane does not know where to send is judged as `open` would: its selectors too', () => {
  const { a, b } = connected(15)
  const { inboundSpi } = b.to(a).session!
  const judge = (packet: Uint8Array, spi = inboundSpi): number => b.endpoint.judge(spi, packet, packet.length)
  // TFC padding comes up with the packet.
  assert.equal(judge(Uint8Array.from([...outwards(), ...new Uint8Array(100)])), 64)
  assert.equal(b.endpoint.opened, b.to(a))
  assert.equal(judge(packetBetween('carol', bobName)), DropReason.SelectorRefused)
  assert.equal(judge(outwards(1_501)), DropReason.InnerTooBig)
  assert.equal(judge(new Uint8Array(64)), DropReason.InnerMalformed)
  assert.equal(judge(outwards(), 0x8000_0001), DropReason.UnknownReceiver)
  assert.equal(b.endpoint.counters.of(DropReason.SelectorRefused), 1)
})
