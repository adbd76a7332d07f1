import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { NotifyType, PayloadType } from '#shared/wire/ike-numbers.ts'
import { ALICE, BOB, EspNode, espConnected, espNodes } from './esp-link.ts'
import { seeded } from './virtual-link.ts'

/** A first message of Alice's, with its marker, under another SPI for each number. */
function initOf(seed: number) {
  const { network, alice, bob } = espNodes(seed)
  alice.peer(bob, { firstContact: true })
  const template = network.sent[0]!.bytes
  return (number: number): Uint8Array => {
    const init = template.slice()
    new DataView(init.buffer).setUint32(4, number + 1)
    return init
  }
}

const source = (number: number): Endpoint => ({
  address: `203.${number >>> 16}.${(number >>> 8) & 255}.${number & 255}`,
  port: 1024 + (number % 60_000),
})

/** A lone responder whose answers are counted. */
function responder(seed = 1) {
  const made = espNodes(seed)
  const { network, bob } = made
  network.remove(made.alice)
  return { network, bob, sent: network.sent }
}

const isCookie = (bytes: Uint8Array): boolean =>
  bytes[20] === PayloadType.Notify && ((bytes[38]! << 8) | bytes[39]!) === NotifyType.Cookie

/** The first message again, with the cookie that was asked for before everything else (RFC 7296 §2.6). */
function withCookie(init: Uint8Array, demand: Uint8Array): Uint8Array {
  const notify = demand.slice(32)
  notify[0] = init[20]!
  const out = Uint8Array.from([...init.subarray(0, 32), ...notify, ...init.subarray(32)])
  out[20] = PayloadType.Notify
  new DataView(out.buffer).setUint32(28, out.length - 4)
  return out
}

test('A-07 half-open IKE SAs: no more than the limit, each for 30 s; the oldest that has proven nothing leaves first', () => {
  const { network, bob } = espNodes(1)
  const lax = new EspNode(network, 'bob.example', BOB, { endpoint: { underLoad: () => false, halfOpenLimit: 100 } })
  const init = initOf(2)
  for (let i = 0; i < 150; i++) lax.receive(init(i), source(i))
  assert.equal(lax.endpoint.sizes.halfOpen, 100)
  assert.equal(lax.endpoint.sizes.ikeSpis, 100)
  network.sent.length = 0
  lax.receive(init(149), source(149))
  assert.equal(network.sent.length, 1, 'the youngest is answered again')
  assert.equal(lax.endpoint.sizes.halfOpen, 100)
  network.run(31_000)
  assert.deepEqual(lax.endpoint.sizes, { halfOpen: 0, ikeSpis: 0, spis: 0 })
  assert.equal(bob.endpoint.sizes.halfOpen, 0)
})

test('A-07 who has shown a cookie outlives those who have not', () => {
  const { network } = espNodes(3)
  let loaded = true
  const bob = new EspNode(network, 'bob.example', BOB, { endpoint: { underLoad: () => loaded, halfOpenLimit: 100 } })
  const init = initOf(4)
  bob.receive(init(0), source(0))
  assert.equal(bob.endpoint.sizes.halfOpen, 0, 'a cookie is asked for, and nothing kept')
  const demand = network.sent.at(-1)!.bytes
  assert.ok(isCookie(demand))
  assert.equal(bob.receive(withCookie(init(0), demand), source(0)), 0)
  loaded = false
  for (let i = 1; i <= 150; i++) bob.receive(init(i), source(i))
  network.sent.length = 0
  bob.receive(withCookie(init(0), demand), source(0))
  assert.equal(network.sent.length, 1)
  assert.ok(!isCookie(network.sent[0]!.bytes), 'it is still known, and answered as before')
})

test('A-04 a cookie is good for its address, port, SPI and nonce alone, as long as its secret and the next one live', () => {
  const { network } = espNodes(5)
  const bob = new EspNode(network, 'bob.example', BOB, { endpoint: { underLoad: () => true } })
  const init = initOf(6)
  bob.receive(init(0), source(0))
  const demand = network.sent.at(-1)!.bytes
  const proof = withCookie(init(0), demand)
  assert.equal(bob.receive(proof, { ...source(0), port: 9 }), DropReason.BadCookie)
  assert.equal(bob.receive(proof, source(1)), DropReason.BadCookie)
  assert.equal(bob.receive(withCookie(init(1), demand), source(0)), DropReason.BadCookie)
  const mangled = proof.slice()
  mangled[45]! ^= 1
  assert.equal(bob.receive(mangled, source(0)), DropReason.BadCookie)
  network.now = instant(network.now + 200_000)
  assert.equal(bob.receive(proof, source(0)), 0, 'of the secret before')
  network.run(31_000)
  network.now = instant(network.now + 300_000)
  assert.equal(bob.receive(proof, source(0)), DropReason.BadCookie)
})

test('A-06 a cookie that nobody asked for changes nothing', () => {
  const { network, bob } = responder(7)
  const init = initOf(8)
  const other = new EspNode(network, 'bob.example', BOB, { endpoint: { underLoad: () => true } })
  other.receive(init(0), source(0))
  const demand = network.sent.at(-1)!.bytes
  assert.equal(bob.receive(withCookie(init(0), demand), source(0)), 0)
  assert.equal(bob.endpoint.sizes.halfOpen, 1)
})

test('P-12 nobody unproven is sent more than he sent, and nothing twice unasked', () => {
  const { network, bob, sent } = responder(9)
  const init = initOf(10)(1)
  const dice = seeded(11)
  for (let i = 0; i < 3_000; i++) {
    const message = init.slice(0, dice() < 0.5 ? init.length : 32 + Math.floor(dice() * (init.length - 32)))
    for (let flips = Math.floor(dice() * 4); flips > 0; flips--)
      message[4 + Math.floor(dice() * (message.length - 4))] = dice() * 256
    if (dice() < 0.7) new DataView(message.buffer).setUint32(28, message.length - 4)
    sent.length = 0
    bob.receive(message, source(i))
    const bytes = sent.reduce((sum, answer) => sum + answer.bytes.length, 0)
    assert.ok(sent.length <= 1 && bytes <= message.length, `${bytes} bytes for ${message.length}`)
  }
  sent.length = 0
  network.run(60_000)
  assert.equal(sent.length, 0)
})

test('A-08 three messages that do not decrypt end a half-open IKE SA; an established one they do not touch', () => {
  const { network, alice, bob } = espNodes(12)
  alice.peer(bob, { firstContact: true })
  network.filter = ({ bytes }) => bytes[22] !== 35
  network.run(100)
  assert.equal(bob.endpoint.sizes.halfOpen, 1)
  const auth = network.sent.find(({ bytes }) => bytes[22] === 35)!.bytes
  for (let i = 0; i < 3; i++) {
    const junk = auth.slice()
    junk[60 + i]! ^= 1
    assert.equal(bob.receive(junk, ALICE), DropReason.Unauthentic)
  }
  assert.deepEqual(bob.endpoint.sizes, { halfOpen: 0, ikeSpis: 0, spis: 0 })
  network.filter = () => true
  network.run(100_000, () => alice.to(bob).state === 'established')
  const made = espConnected(13)
  const { ike } = made.bob.to(made.alice)
  made.alice.endpoint.initiate(made.alice.to(made.bob), made.network.now)
  const probe = made.network.sent.at(-1)!.bytes
  for (let i = 0; i < 1_000; i++) {
    const junk = probe.slice()
    junk[33 + (i % 28)]! ^= 1 + (i % 255)
    assert.ok(made.bob.receive(junk, source(i)) < 0)
  }
  assert.equal(made.bob.to(made.alice).ike, ike)
  assert.deepEqual(made.bob.to(made.alice).endpoint, ALICE)
})

test('P-29 A-28 a hundred thousand forged closes, deletes, resets and scraps: no session is torn, nobody is answered', () => {
  const { network, alice, bob } = espConnected(14)
  network.run(1_000)
  network.recording = false
  let answers = 0
  network.filter = ({ from }) => {
    if (from.port === BOB.port) answers++
    return true
  }
  const dice = seeded(15)
  const real = network.sent.filter(({ to }) => to.port === BOB.port).map(({ bytes }) => bytes)
  const notify = real[0]!.slice(0, 44)
  notify.set([PayloadType.Delete, 0x20, 37, 0x08], 20)
  for (let i = 0; i < 100_000; i++) {
    const template = i % 3 === 0 ? notify : real[1 + (i % (real.length - 1))]!
    const forged = template.slice(0, dice() < 0.9 ? template.length : Math.floor(dice() * template.length))
    // SPIs are known to whoever watches; the rest is chance.
    if (i % 3 === 0 && forged.length >= 20) forged.set(real[1]!.subarray(4, 20), 4)
    const at = 20 + Math.floor(dice() * Math.max(1, forged.length - 20))
    if (at < forged.length) forged[at]! ^= 1 + Math.floor(dice() * 255)
    // A right length again, unless that is what was forged: a replay is answered once more, and should be.
    if (forged.length >= 32 && (at < 28 || at > 31)) new DataView(forged.buffer).setUint32(28, forged.length - 4)
    bob.receive(forged, source(i))
  }
  assert.equal(bob.to(alice).state, 'established')
  assert.equal(bob.count('lapsed'), 0)
  assert.deepEqual(bob.to(alice).endpoint, ALICE)
  assert.equal(answers, 0)
  alice.send(bob, 1)
  bob.send(alice, 1)
  network.run(100)
  assert.equal(alice.received.length + bob.received.length, 2)
})

test('A-09 message IDs outside the window of one are dropped and leave nothing behind', () => {
  const { network, alice, bob } = espConnected(16)
  alice.endpoint.initiate(alice.to(bob), network.now)
  const probe = network.sent.at(-1)!.bytes
  const sizes = bob.endpoint.sizes
  for (let id = 0; id < 5_000; id++) {
    const message = probe.slice()
    new DataView(message.buffer).setUint32(24, id * 977)
    assert.ok(bob.receive(message, ALICE) < 0 || id * 977 === new DataView(probe.buffer).getUint32(24))
  }
  assert.deepEqual(bob.endpoint.sizes, sizes)
})

test('P-10 20,000 scraps and 5,000 first messages a second from spoofed sources: tables stay small, a real peer is in within 3 s, tunnels lose nothing', () => {
  const { network, alice, bob } = espConnected(17)
  network.recording = false
  const init = initOf(18)
  const dice = seeded(19)
  const scrap = Uint8Array.from({ length: 120 }, () => dice() * 256)
  let number = 0
  let largest = 0
  let sent = 0
  const waits: number[] = []
  const seconds = 5
  for (let at = 0; at < seconds * 100; at++) {
    for (let i = 0; i < 50; i++) {
      number++
      bob.receive(init(number), source(number))
    }
    for (let i = 0; i < 200; i++) {
      scrap[0] = i % 2 === 0 ? 0 : 0x80 | (i & 127)
      scrap.fill(i % 2 === 0 ? 0 : 7, 1, 4)
      scrap[30] = i
      bob.receive(scrap, source(number + i))
    }
    alice.send(bob, at)
    bob.send(alice, at)
    sent++
    if (at % 100 === 20) {
      const carol = new EspNode(network, `c${at}.example`, { address: '192.0.2.77', port: 7_000 + at })
      carol.peer(bob, { firstContact: true })
      const from = network.now
      assert.ok(network.run(3_000, () => carol.to(bob).state === 'established'))
      waits.push(network.now - from)
      network.remove(carol)
    }
    largest = Math.max(largest, bob.endpoint.sizes.halfOpen)
    network.run(10)
  }
  network.run(1_000)
  assert.equal(new Set(bob.received.filter(({ association }) => association === bob.to(alice))).size, sent)
  assert.equal(alice.received.length, sent)
  assert.ok(largest <= 1_000, `${largest} half-open at most`)
  assert.equal(waits.length, seconds)
})
