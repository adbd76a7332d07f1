import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { FakeLane, LanedHost } from './fake-lane.ts'
import { A, B, ipPacket, Node, seededSuite, VirtualNetwork } from './virtual-link.ts'

const away = { address: '203.0.113.5', port: 5005 }

/** Two ends, each with a lane of its own. Bob knows Alice's key but not her place. */
function laned(seed: number) {
  const network = new VirtualNetwork(seed)
  const lanes = [new FakeLane(), new FakeLane()] as const
  const a = new Node(network, A, { suite: seededSuite(seed), lane: lanes[0] })
  const b = new Node(network, B, { suite: seededSuite(seed + 1_000_000), lane: lanes[1] })
  const alice = new LanedHost<Node, Node>(a, lanes[0])
  const bob = new LanedHost<Node, Node>(b, lanes[1])
  b.peer(a, { endpoint: undefined })
  a.peer(b)
  return {
    network,
    alice,
    bob,
    a,
    b,
    toBob: (packet = ipPacket(64)) => alice.send(b, packet),
    toAlice: (packet = ipPacket(64)) => bob.send(a, packet),
  }
}

function connected(seed: number) {
  const made = laned(seed)
  made.a.endpoint.initiate(made.a.to(made.b), made.network.now)
  assert.ok(made.network.run(1_000, () => made.b.to(made.a).state === 'established'))
  made.network.run(100)
  return made
}

const dataTo = ({ network }: { network: VirtualNetwork }, port: number) =>
  network.sent.filter(({ bytes, to }) => bytes[0] === 4 && to.port === port)

test('a handshake lends both ends their session: data goes by the lanes, both ways, and keys are theirs alone', () => {
  const { network, alice, bob, a, b, toBob, toAlice } = connected(1)
  for (const { lane } of [alice, bob]) {
    const [session] = lane.installed
    assert.deepEqual(
      [lane.installed.length, session?.suite, session?.algorithm, session?.firstNumber],
      [1, 'noise', 'chacha20-poly1305', 0],
    )
    assert.equal(session!.expiresAt, lane === alice.lane ? a.to(b).session!.expiresAt : b.to(a).session!.expiresAt)
    assert.ok([session!.sendKey, session!.receiveKey].every((key) => key.length === 32 && key.every((byte) => byte === 0)))
  }
  assert.deepEqual(alice.lane.routes.get(a.to(b)), { local: a.to(b).session!.local, to: B })
  assert.deepEqual(bob.lane.routes.get(b.to(a)), { local: b.to(a).session!.local, to: A })
  const before = { ...a.to(b).counters }
  for (let i = 0; i < 50; i++) {
    assert.equal(toBob(), 96)
    assert.equal(toAlice(), 96)
  }
  network.run(100)
  assert.deepEqual([a.received.length, b.received.length], [50, 50])
  const { outerSent, outerReceived, innerSent, innerReceived } = a.to(b).counters
  assert.deepEqual(
    [outerSent - before.outerSent, outerReceived - before.outerReceived, innerSent, innerReceived],
    [4_800, 4_800, 3_200, 3_200],
  )
  assert.equal(a.to(b).lastAuthentic! >= network.now - 100, true)
})

test('receiver indices are such as suit the lane for that peer, whoever asks', () => {
  const { network, alice, bob, a, b } = laned(7)
  const asked = new Set<string>()
  for (const [{ lane }, residue] of [
    [alice, 3],
    [bob, 5],
  ] as const)
    lane.suits = (local, peerKey) => {
      asked.add(peerKey)
      return local % 8 === residue
    }
  for (const [asker, answerer] of [
    [a, b],
    [b, a],
  ] as const) {
    const former = asker.to(answerer).session
    asker.endpoint.initiate(asker.to(answerer), network.now)
    network.run(1_000)
    assert.ok(asker.to(answerer).session !== former)
    assert.deepEqual([a.to(b).session!.local % 8, b.to(a).session!.local % 8], [3, 5])
  }
  assert.deepEqual(asked, new Set([a.to(b).peerKey, b.to(a).peerKey]))
})

test('a responder lends its session at once, but the lane sends only once the peer has confirmed it', () => {
  const { network, bob, a, b } = laned(2)
  network.filter = ({ bytes }) => bytes[0] !== 4
  a.endpoint.initiate(a.to(b), network.now)
  network.run(200)
  assert.equal(bob.lane.held.size, 1)
  assert.equal(bob.lane.routes.size, 0)
  assert.equal(bob.send(a, ipPacket(60, 3)), DropReason.NoSession)
  network.filter = () => true
  a.endpoint.sendKeepalive(a.to(b), network.now)
  network.run(100)
  assert.equal(bob.lane.routes.size, 1)
  assert.equal(a.received[0]?.packet[40], 3, 'what waited has been sent')
})

test('A-25 both threads seal with one session and never with the same counter', () => {
  const { network, a, b, toBob } = connected(3)
  for (let i = 0; i < 40; i++) {
    toBob()
    if (i % 3 === 0) a.endpoint.sendKeepalive(a.to(b), network.now)
    if (i % 5 === 0) a.send(b)
    network.run(7)
  }
  network.run(100)
  const counters = dataTo({ network }, B.port).map(({ bytes }) => Buffer.from(bytes.subarray(4, 16)).toString('hex'))
  assert.equal(new Set(counters).size, counters.length)
  assert.ok(counters.length > 60)
  assert.equal(b.received.length, 48)
})

test('P-01 a session that the lane holds is opened there alone: elsewhere it is refused, and handed on', () => {
  const { network, bob, a, b, toBob } = connected(4)
  network.filter = () => false
  network.sent.length = 0
  toBob()
  const datagram = network.sent[0]!.bytes
  const out = new Uint8Array(200)
  assert.equal(b.to(a).session!.open(datagram, out, network.now), DropReason.HeldByLane)
  assert.ok(out.every((byte) => byte === 0))
  assert.equal(b.endpoint.open(datagram, A, out, network.now), DropReason.HeldByLane)
  assert.equal(bob.lane.verdicts.at(-1), 64)
  assert.equal(b.endpoint.open(datagram, A, out, network.now), DropReason.HeldByLane)
  assert.equal(bob.lane.verdicts.at(-1), DropReason.Replayed, 'the window is the lane’s')
  assert.equal(b.endpoint.counters.of(DropReason.HeldByLane), 0, 'nothing was lost')
})

test('roaming: the path follows the first packet; the lane sends there once a newer one has proven the place (A-14)', () => {
  const { network, alice, bob, a, b, toBob, toAlice } = connected(5)
  network.move(alice, away)
  toBob()
  network.run(11)
  assert.deepEqual(b.to(a).endpoint, away)
  assert.equal(b.count('roamed'), 1)
  assert.equal(bob.lane.routes.size, 0, 'one packet could have been sent on by anyone')
  toBob()
  network.run(50)
  assert.deepEqual(bob.lane.routes.get(b.to(a))?.to, away)
  const before = a.received.length
  assert.ok(toAlice(ipPacket(1_000)) > 0)
  network.run(50)
  assert.equal(a.received.length, before + 1)
})

test('A-14 a relayed newest packet makes the lane pour nothing over a victim', () => {
  const { network, bob, a, b, toBob, toAlice } = connected(6)
  network.filter = () => false
  network.sent.length = 0
  toBob(ipPacket(100))
  const stolen = network.sent[0]!.bytes
  network.filter = () => true
  bob.receive(stolen, away)
  network.sent.length = 0
  for (let i = 0; i < 100; i++) assert.ok(toAlice(ipPacket(200)) > 0)
  const poured = dataTo({ network }, away.port).reduce((sum, { bytes }) => sum + bytes.length, 0)
  assert.ok(poured <= 3 * stolen.length, `${poured} bytes for ${stolen.length}`)
  toBob()
  network.run(100)
  assert.deepEqual(bob.lane.routes.get(b.to(a))?.to, A, 'Alice speaks, and is found where she was')
  assert.equal(a.received.length, dataTo({ network }, A.port).length)
})

test('the owner says where the peer is, and the lane is told, carried ways too', () => {
  const { network, alice, a, b } = connected(7)
  const carried = { address: 'websocket/3', port: 0 }
  a.endpoint.setEndpoint(a.to(b), carried, network.now)
  assert.deepEqual(alice.lane.routes.get(a.to(b))?.to, carried)
  const { length } = alice.lane.calls
  a.endpoint.setEndpoint(a.to(b), carried, network.now)
  assert.equal(alice.lane.calls.length, length, 'no news is not told')
})

test('P-27 an hour of traffic: renewed each 120 to 130 s, nothing lost, lanes hold two sessions at most', () => {
  const { network, alice, bob, a, b, toBob, toAlice } = connected(8)
  network.recording = false
  for (let i = 0; i < 3_600; i++) {
    assert.ok(toBob() > 0 && toAlice() > 0)
    network.run(1_000)
    assert.ok(alice.lane.held.size <= 3 && bob.lane.held.size <= 3)
  }
  assert.equal(a.received.length + b.received.length, 7_200)
  const rekeys = a.to(b).counters.handshakes - 1
  assert.ok(rekeys >= 26 && rekeys <= 30, `${rekeys} rekeys`)
  assert.equal(b.count('established'), rekeys + 1)
  for (const { lane, node } of [alice, bob]) {
    const association = node === a ? a.to(b) : b.to(a)
    assert.equal(lane.held.size, association.sessionCount)
    assert.equal(lane.routes.get(association)?.local, association.session?.local)
    assert.equal(lane.calls.filter((call) => call === 'install').length, rekeys + 1)
  }
})

test('both ends initiate at once, under loss: lanes end with the sessions that the associations have', () => {
  for (let seed = 300; seed < 315; seed++) {
    const { network, alice, bob, a, b, toBob, toAlice } = laned(seed)
    network.delay = 150
    network.loss = 0.2
    b.endpoint.setEndpoint(b.to(a), A, network.now)
    toBob()
    toAlice()
    network.run(40_000, () => a.to(b).state === 'established' && b.to(a).state === 'established')
    network.loss = 0
    for (let i = 0; i < 150; i++) {
      toBob()
      toAlice()
      network.run(1_000)
    }
    assert.equal(a.to(b).session?.local, b.to(a).session?.remote)
    for (const [host, association] of [
      [alice, a.to(b)],
      [bob, b.to(a)],
    ] as const) {
      assert.equal(host.lane.held.size, association.sessionCount)
      assert.equal(host.lane.routes.get(association)?.local, association.session?.local)
    }
  }
})

test('an idle session ends after 180 s in the lane as well, and the next packet re-makes it', () => {
  const { network, alice, bob, a, b } = connected(9)
  network.run(179_000)
  assert.equal(bob.lane.held.size, 1)
  network.run(3_000)
  for (const { lane } of [alice, bob]) assert.deepEqual([lane.held.size, lane.routes.size], [0, 0])
  assert.deepEqual([a.to(b).state, b.to(a).state, a.count('lapsed'), b.count('lapsed')], ['idle', 'idle', 1, 1])
  assert.equal(bob.send(a, ipPacket(60, 4)), DropReason.NoSession)
  network.run(1_000)
  assert.equal(a.received[0]?.packet[40], 4)
})

test('passive keepalive: data that came by the lane and was not answered is, after 10 s, once', () => {
  const { network, b, toBob } = connected(10)
  network.sent.length = 0
  toBob()
  network.run(60_000)
  const empties = network.sent.filter(({ bytes, from }) => bytes.length === 32 && from.port === b.address.port)
  assert.equal(empties.length, 1)
  assert.ok(empties[0]!.at - network.sent[0]!.at >= 10_000)
  assert.equal(network.sent.length, 2, 'no needless handshake')
})

test('data by the lane and nothing heard for 15 s: a new handshake; an answer in the same breath is an answer', () => {
  const { network, toBob, toAlice } = connected(11)
  for (let i = 0; i < 5; i++) {
    toBob()
    network.run(10)
    toAlice()
    network.run(10)
  }
  network.sent.length = 0
  network.run(20_000)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 1).length, 0)
  network.loss = 1
  toBob()
  const from = network.now
  network.run(14_900)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 1).length, 0)
  assert.ok(network.run(600, () => network.sent.some(({ bytes }) => bytes[0] === 1)))
  assert.ok(network.now - from < 15_500)
})

test('A-25 shared counters are renewed from 2^31 on, by either end', () => {
  for (const initiator of [true, false]) {
    const { network, alice, bob, a, b, toBob, toAlice } = connected(12)
    const [host, association, send] = initiator ? ([alice, a.to(b), toBob] as const) : ([bob, b.to(a), toAlice] as const)
    const before = association.session!
    host.lane.held.get(before.local)!.words[0] = 2 ** 31 - 2
    send()
    network.run(100)
    assert.equal(association.session, before)
    send()
    network.run(100)
    assert.notEqual(association.session, before)
    assert.equal(host.lane.routes.get(association)?.local, association.session!.local)
  }
})

test('A-25 with no shared counter left neither thread seals: packets wait for the next session', () => {
  const { network, alice, a, b, toBob } = connected(13)
  alice.lane.held.get(a.to(b).session!.local)!.words[0] = 2 ** 32 - 2 ** 24
  assert.equal(toBob(ipPacket(64, 9)), DropReason.NoSession)
  network.run(1_000)
  assert.equal(b.received.at(-1)?.packet[40], 9)
})

test('reset and removePeer leave the lane nothing; what comes then is a stranger’s', () => {
  for (const how of ['reset', 'remove'] as const) {
    const { network, bob, a, b, toBob } = connected(14)
    if (how === 'reset') b.to(a).reset()
    else b.endpoint.removePeer(b.to(a))
    assert.deepEqual([bob.lane.held.size, bob.lane.routes.size], [0, 0])
    toBob()
    network.run(50)
    assert.equal(b.verdicts.at(-1), DropReason.UnknownReceiver)
  }
})

test('a lane that takes no session changes nothing', () => {
  const made = laned(15)
  const { network, alice, bob, a, b, toBob, toAlice } = made
  alice.lane.takes = bob.lane.takes = false
  a.endpoint.initiate(a.to(b), network.now)
  network.run(1_000)
  toBob()
  toAlice()
  network.run(100)
  assert.deepEqual([a.received.length, b.received.length], [1, 1])
  for (const { lane } of [alice, bob]) assert.deepEqual([...new Set(lane.calls)], ['install'])
})

test('what the lane does not know where to send is judged as `open` would', () => {
  const { b, a, bob } = connected(16)
  const { local } = b.to(a).session!
  const padded = (packet: Uint8Array): Uint8Array => Uint8Array.from([...packet, ...new Uint8Array(3)])
  assert.equal(b.endpoint.judge(local, padded(ipPacket(61)), 64), 61)
  assert.equal(b.endpoint.opened, b.to(a))
  const wrong = ipPacket(64)
  wrong[0] = 0x50
  assert.equal(b.endpoint.judge(local, wrong, 64), DropReason.InnerMalformed)
  assert.equal(b.endpoint.judge(local ^ 1, ipPacket(64), 64), DropReason.UnknownReceiver)
  assert.deepEqual(
    [DropReason.InnerMalformed, DropReason.UnknownReceiver].map((reason) => b.endpoint.counters.of(reason)),
    [1, 1],
  )
  assert.equal(b.endpoint.heard({ ...news, local: local ^ 1 }, b.now), undefined)
  b.endpoint.sent({ ...news, local: local ^ 1 }, b.now)
  assert.equal(bob.lane.held.size, 1)
})

const news = {
  suite: 'noise',
  from: A,
  newest: 1,
  datagrams: 1,
  outerBytes: 96,
  innerPackets: 1,
  innerBytes: 64,
  largest: 64,
} as const
