import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { putMacs } from '#shared/tunnel/cookie.ts'
import { LocalIdentity, writeInitiation } from '#shared/tunnel/handshake.ts'
import { IndexTable } from '#shared/tunnel/index-table.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import type { WireguardEndpointOptions } from '#shared/tunnel/wireguard-endpoint.ts'
import fc from '#test/lab/properties.ts'
import { A, B, connected, ipPacket, Node, pair, seededSuite } from './virtual-link.ts'

/** The suite, with a count of its X25519 agreements. */
function countingSuite(seed: number) {
  const suite = seededSuite(seed)
  const count = { shared: 0, generated: 0 }
  const x25519 = {
    ...suite.x25519,
    shared: (...args: Parameters<typeof suite.x25519.shared>) => {
      count.shared++
      return suite.x25519.shared(...args)
    },
    generate: () => {
      count.generated++
      return suite.x25519.generate()
    },
  }
  return { suite: { ...suite, x25519 }, count }
}

/** A recorded initiation from Alice to Bob, not delivered. */
function initiation(seed: number, b: Partial<WireguardEndpointOptions> = {}) {
  const made = pair(seed, {}, b)
  made.bob.peer(made.alice, { endpoint: undefined })
  made.alice.peer(made.bob)
  made.network.filter = () => false
  made.alice.endpoint.initiate(made.alice.to(made.bob), made.network.now)
  made.network.filter = () => true
  return { ...made, message: made.network.sent[0]!.bytes }
}

test('A-01 random bytes cost no DH and get no answer', () => {
  const { suite, count } = countingSuite(1)
  const { network, bob, message } = initiation(1, { suite })
  const before = count.shared
  for (let i = 0; i < 2000; i++) {
    const junk = suite.random([148, 92, 64, 32, 20, 1400][i % 6]!)
    if (i % 2) junk.set([1 + (i % 4), 0, 0, 0])
    bob.receive(junk, A)
  }
  const forged = message.slice()
  forged[60]! ^= 1
  assert.equal(bob.receive(forged, A), DropReason.BadMac1)
  assert.equal(count.shared, before)
  assert.equal(network.sent.length, 1)
})

test('A-02 under load an initiation without cookie gets one smaller datagram, no DH, no state (P-12)', () => {
  const { suite, count } = countingSuite(2)
  const { network, alice, bob, message } = initiation(2, { suite, underLoad: () => true })
  const before = count.shared + count.generated
  const state = JSON.stringify(bob.to(alice).counters)
  for (let i = 0; i < 100; i++) assert.equal(bob.receive(message, { address: '203.0.113.7', port: 1 + i }), DropReason.UnderLoad)
  assert.equal(count.shared + count.generated - before, 0)
  assert.equal(JSON.stringify(bob.to(alice).counters), state)
  assert.equal(network.sent.length, 101, 'one datagram each')
  for (const { bytes } of network.sent.slice(1)) assert.equal(bytes.length, 64)
})

test('A-02 A-03 under load an honest agent comes through with its cookie, also beside a flooder at its own address', () => {
  const { network, alice, bob } = pair(3, {}, { underLoad: () => true })
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob, { firstContact: true })
  const flood = initiation(33).message
  for (let i = 0; i < 200; i++) bob.receive(flood, { address: A.address, port: 5000 + (i % 7) })
  assert.ok(network.run(3_000, () => bob.to(alice).state === 'established'))
})

test('A-03 under load one address and port is bounded, another behind the same NAT is not', () => {
  const { network, alice, bob, message } = initiation(4, { underLoad: () => true })
  const verdicts: number[] = []
  // One valid cookie, used over and over from its own port.
  network.run(5)
  bob.receive(message, A)
  network.run(600)
  const withCookie = network.sent.filter(({ bytes }) => bytes[0] === 1).at(-1)!.bytes
  assert.ok(
    withCookie.subarray(-16).some((byte) => byte !== 0),
    'mac2 is there',
  )
  for (let i = 0; i < 20; i++) verdicts.push(bob.receive(withCookie, A))
  assert.ok(verdicts.includes(DropReason.RateLimited))
  const carol = new Node(network, { address: A.address, port: 7777 }, { suite: seededSuite(44) })
  bob.peer(carol, { endpoint: undefined })
  carol.peer(bob, { firstContact: true })
  assert.ok(network.run(3_000, () => bob.to(carol).state === 'established'))
  assert.ok(alice)
})

test('A-04 a cookie serves its own address and port only, 120 to 240 s long, over one change of the secret', () => {
  const { network, alice, bob, message } = initiation(5, { underLoad: () => true })
  bob.receive(message, A)
  network.run(700)
  const withCookie = () => network.sent.filter(({ bytes }) => bytes[0] === 1).at(-1)!.bytes
  const bound = withCookie().slice()
  assert.equal(bob.receive(bound, { address: A.address, port: 1002 }), DropReason.BadCookie)
  assert.equal(bob.receive(bound, { address: '192.0.2.2', port: A.port }), DropReason.BadCookie)
  assert.equal(bob.receive(bound, A), DropReason.StaleTimestamp, 'here it is taken, and its timestamp is old by now')
  network.loss = 1
  network.run(130_000)
  assert.equal(bob.receive(bound, A), DropReason.StaleTimestamp, 'under the secret before')
  network.run(125_000)
  assert.equal(bob.receive(bound, A), DropReason.BadCookie)
  assert.ok(alice)
})

test('A-05 a forged, a misdirected and a second cookie reply are refused', () => {
  const { network, alice, bob, message } = initiation(6, { underLoad: () => true })
  bob.receive(message, A)
  const reply = network.sent.at(-1)!.bytes
  const forged = reply.slice()
  forged[40]! ^= 1
  assert.equal(alice.receive(forged, B), DropReason.BadCookie)
  const misdirected = reply.slice()
  misdirected[4]! ^= 1
  assert.equal(alice.receive(misdirected, B), DropReason.UnknownReceiver)
  assert.equal(alice.receive(reply, B), 0)
  assert.equal(alice.receive(reply, B), DropReason.BadCookie, 'one for each message')
})

test('A-06 a cookie that nobody asked for is ignored', () => {
  let load = true
  const { network, alice, bob, message } = initiation(7, { underLoad: () => load })
  bob.receive(message, A)
  load = false
  network.run(2_000)
  const second = network.sent.filter(({ bytes }) => bytes[0] === 1)[1]!.bytes
  assert.ok(second.subarray(-16).some((byte) => byte !== 0))
  assert.equal(bob.to(alice).state, 'established')
})

test('A-11 P-02 ten thousand replays, after 8191 newer packets and from another address: nothing delivered, no roam, no credit', () => {
  const { network, alice, bob } = connected(8)
  network.run(100)
  network.sent.length = 0
  alice.send(bob, ipPacket(64, 1))
  network.run(100)
  const first = network.sent[0]!.bytes
  const handshake = connected(8).network.sent[0]!.bytes
  const newer: Uint8Array[] = []
  for (let i = 0; i < 8191; i++) {
    network.sent.length = 0
    alice.send(bob, ipPacket(64, 2))
    newer.push(network.sent[0]!.bytes)
  }
  network.run(1000)
  assert.equal(bob.received.length, 8192)
  const association = bob.to(alice)
  const before = [bob.received.length, association.lastAuthentic, network.sent.length, association.counters.outerReceived]
  network.run(50)
  const thief = { address: '203.0.113.66', port: 6666 }
  for (let i = 0; i < 10_000; i++)
    assert.equal(bob.receive(i === 0 ? first : newer[i % newer.length]!, thief), DropReason.Replayed)
  bob.receive(handshake, thief)
  assert.deepEqual(
    [bob.received.length, association.lastAuthentic, network.sent.length, association.counters.outerReceived],
    before,
  )
  assert.deepEqual(association.endpoint, A)
})

test('A-11 A-12 a replayed initiation is stale: also after a restart that restores the timestamp', () => {
  const { network, alice, bob } = connected(9)
  const message = network.sent[0]!.bytes
  const sent = network.sent.length
  network.run(1000)
  assert.equal(bob.receive(message, A), DropReason.StaleTimestamp)
  const reborn = new Node(network, B, {
    staticKey: bob.key,
    admit: () => ({ lastTimestamp: bob.to(alice).lastTimestamp }),
  })
  assert.equal(reborn.receive(message, { address: '203.0.113.1', port: 1 }), DropReason.StaleTimestamp)
  assert.equal([...reborn.endpoint.associations()].length, 0, 'no state for it')
  assert.equal(network.sent.length, sent)
})

test('A-12 a responder that lost its timestamps answers a replay once, but has no session to use, and data under old keys is dropped', () => {
  const { network, alice, bob } = connected(10)
  const message = network.sent[0]!.bytes
  network.sent.length = 0
  alice.send(bob)
  const data = network.sent[0]!.bytes
  const reborn = new Node(network, B, { staticKey: bob.key, admit: () => ({}) })
  const thief = { address: '203.0.113.1', port: 1 }
  reborn.receive(message, thief)
  assert.equal(reborn.receive(data, thief), DropReason.UnknownReceiver)
  assert.notEqual(reborn.to(alice).state, 'established')
  assert.ok(reborn.to(alice).seal(ipPacket(60), 60, new Uint8Array(200), network.now) < 0)
})

test('A-15 P-14 a low-order key: nothing leaves, nothing is answered', () => {
  const { network, alice, bob } = pair(11)
  const zero = alice.endpoint.addPeer({ publicKey: new Uint8Array(32), endpoint: B }, network.now)
  assert.equal(zero.seal(ipPacket(60), 60, new Uint8Array(200), network.now), DropReason.NoSession)
  alice.endpoint.initiate(zero, network.now)
  network.run(10_000)
  assert.equal(network.sent.length, 0)
  assert.equal(alice.endpoint.counters.of(DropReason.LowOrderPoint), 2)
  assert.throws(() => alice.endpoint.addPeer({ publicKey: new Uint8Array(31) }, network.now), { code: 'length' })
  assert.ok(bob)
})

test('A-25 no key sends the same counter twice, a new endpoint with the same static key has other keys', () => {
  const { network, alice, bob } = connected(12)
  for (let i = 0; i < 50; i++) alice.send(bob)
  const counters = network.sent
    .filter(({ bytes }) => bytes[0] === 4)
    .map(({ bytes }) => Buffer.from(bytes.subarray(4, 16)).toString('hex'))
  assert.equal(new Set(counters).size, counters.length)
  const again = new Node(network, A, { staticKey: alice.key, suite: seededSuite(999) })
  again.peer(bob)
  network.run(1000)
  again.send(bob, ipPacket(60, 5))
  network.run(1000)
  assert.equal(bob.received.at(-1)?.packet[40], 5)
})

test('A-29 index collisions are tried again', () => {
  const drawn = [7, 7, 7, 9]
  const table = new IndexTable<string>({ random: () => Uint8Array.of(drawn.shift()!, 0, 0, 0) })
  table.put(table.pick(), 'first')
  const second = table.pick()
  assert.equal(second, 9)
  table.put(second, 'second')
  assert.equal(table.get(7), 'first')
})

test('A-30 a connection to ourselves is refused, as a peer and as an initiation', () => {
  const { network, alice, bob } = pair(13)
  assert.throws(() => alice.endpoint.addPeer({ publicKey: alice.key.publicKey }, network.now), { code: 'config-invalid' })
  // A second program with Alice's own state folder, which believes that Alice's key is somebody else's.
  const local = new LocalIdentity(nativeSuite, alice.key)
  const message = new Uint8Array(148)
  const input = {
    sender: 1,
    peer: alice.key.publicKey,
    staticShared: nativeSuite.x25519.shared(alice.key, alice.key.publicKey),
    timestamp: tai64n(1n),
  }
  writeInitiation(local, input, message)
  putMacs(nativeSuite, message, alice.key.publicKey, undefined)
  assert.equal(alice.receive(message, B), DropReason.SelfConnection)
  assert.equal(network.sent.length, 0)
  assert.ok(bob)
})

test('A-30 the wrong responder cannot finish, and what waits stays off the wrong tunnel', () => {
  const { network, alice, bob } = pair(15)
  alice.peer(bob)
  const mallory = new Node(network, { address: '203.0.113.9', port: 9 }, { suite: seededSuite(151), admit: () => ({}) })
  // Mallory sits at Bob's address: it cannot read the initiation, since it is sealed to Bob's key.
  network.move(bob, { address: '198.51.100.99', port: 1 })
  network.move(mallory, B)
  alice.send(bob, ipPacket(80, 1))
  network.run(5_000)
  assert.equal(mallory.received.length, 0)
  assert.ok(mallory.verdicts.every((verdict) => verdict === DropReason.BadMac1))
  assert.equal(alice.to(bob).state, 'handshaking')
})

test('unknown peers get silence', () => {
  const { network, alice, bob } = pair(16)
  alice.peer(bob, { firstContact: true })
  network.run(20_000)
  assert.ok(network.sent.every(({ from }) => from.port === A.port))
  assert.ok(bob.endpoint.counters.of(DropReason.UnknownPeer) > 5)
})

test('more than 50 initiations a second from one peer are too many', () => {
  const { network, alice, bob } = connected(17)
  for (let i = 0; i < 200; i++) {
    alice.to(bob).reset()
    alice.endpoint.initiate(alice.to(bob), network.now)
    network.run(5)
  }
  const answered = bob.verdicts.filter((verdict) => verdict === 0).length
  assert.ok(bob.endpoint.counters.of(DropReason.RateLimited) > 100, String(bob.endpoint.counters.of(DropReason.RateLimited)))
  assert.ok(answered <= 55)
})

test('P-12 every answer to an unproven sender is one datagram and no larger than what it answers', () => {
  const { network, bob, message } = initiation(18)
  bob.receive(message, { address: '203.0.113.3', port: 3 })
  const answers = network.sent.slice(1)
  assert.equal(answers.length, 1)
  assert.ok(answers[0]!.bytes.length <= message.length)
  network.run(600_000)
  assert.equal(network.sent.filter(({ to }) => to.address === '203.0.113.3').length, 1, 'nothing is ever repeated there')
})

test('no datagram of a stranger throws or changes anything (fuzz)', () => {
  const { network, alice, bob } = connected(19)
  network.run(100)
  network.sent.length = 0
  alice.send(bob)
  const samples = [...connected(20).network.sent.map(({ bytes }) => bytes), network.sent[0]!.bytes]
  const snapshot = () =>
    JSON.stringify([
      bob.to(alice).state,
      bob.to(alice).endpoint,
      bob.to(alice).lastAuthentic,
      bob.to(alice).sessionCount,
      bob.received.length,
    ])
  const before = snapshot()
  const mutated = fc
    .tuple(
      fc.constantFrom(...samples),
      fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 6 }),
      fc.nat(200),
    )
    .map(([sample, flips, cut]) => {
      const bytes = sample.slice(0, cut < 100 ? sample.length : cut)
      for (const [at, mask] of flips) if (at < bytes.length) bytes[at]! ^= mask
      return bytes
    })
  const stranger = { address: '203.0.113.250', port: 250 }
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      const isGenuine = samples.some((sample) => Buffer.from(sample).equals(bytes))
      if (isGenuine) return
      bob.receive(bytes, stranger)
      bob.endpoint.open(bytes, stranger, new Uint8Array(400), network.now)
      assert.equal(snapshot(), before)
    }),
    { numRuns: 20_000, seed: 19 },
  )
})
