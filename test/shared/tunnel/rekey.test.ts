import assert from 'node:assert/strict'
import test from 'node:test'
import type { Aead, Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { A, connected, ipPacket, type Node, pair, seededSuite } from './virtual-link.ts'

const sameSession = (a: Node, b: Node): boolean =>
  a.to(b).session?.local === b.to(a).session?.remote && a.to(b).session !== undefined

test('P-27 an hour of traffic: rekeys each 120 to 130 s by the initiator, nothing lost, one session each time', () => {
  const { network, alice, bob } = connected(1)
  network.recording = false
  let sent = 0
  for (let i = 0; i < 3600; i++) {
    if (alice.send(bob) > 0) sent++
    if (bob.send(alice) > 0) sent++
    network.run(1000)
  }
  assert.equal(sent, 7200)
  assert.equal(alice.received.length + bob.received.length, 7200)
  const rekeys = alice.to(bob).counters.handshakes - 1
  assert.ok(rekeys >= 26 && rekeys <= 30, `${rekeys} rekeys`)
  assert.equal(bob.count('established'), rekeys + 1)
  assert.ok(sameSession(alice, bob))
  assert.ok(alice.to(bob).sessionCount <= 2 && bob.to(alice).sessionCount <= 2)
})

test('P-27 both ends initiate at once: they settle on one session, whose initiator is the greater key, and renew it', () => {
  for (let seed = 100; seed < 120; seed++) {
    const { network, alice, bob } = pair(seed)
    bob.peer(alice, { endpoint: A })
    alice.peer(bob)
    alice.send(bob)
    bob.send(alice)
    network.run(2_000)
    for (let i = 0; i < 200; i++) {
      alice.send(bob)
      bob.send(alice)
      network.run(1_000)
    }
    assert.equal(alice.received.length, 201, `seed ${seed}`)
    assert.equal(bob.received.length, 201, `seed ${seed}`)
    assert.ok(sameSession(alice, bob), `seed ${seed}`)
    assert.equal(alice.count('lapsed') + bob.count('lapsed'), 0)
    const greater = Buffer.compare(alice.key.publicKey, bob.key.publicKey) > 0 ? alice : bob
    const other = greater === alice ? bob : alice
    assert.equal(greater.to(other).session?.initiator, true)
  }
})

test('P-27 both ends initiate at once under loss and delay: always one session in the end, never a lapse', () => {
  for (let seed = 200; seed < 230; seed++) {
    const { network, alice, bob } = pair(seed)
    network.delay = 150
    network.loss = 0.2
    bob.peer(alice, { endpoint: A })
    alice.peer(bob)
    alice.send(bob)
    bob.send(alice)
    network.run(40_000, () => alice.to(bob).state === 'established' && bob.to(alice).state === 'established')
    network.loss = 0
    for (let i = 0; i < 20; i++) {
      alice.send(bob)
      bob.send(alice)
      network.run(1_000)
    }
    assert.ok(sameSession(alice, bob), `seed ${seed}`)
    assert.equal(alice.count('lapsed') + bob.count('lapsed'), 0)
  }
})

test('a responder says nothing before the initiator has confirmed the session, and then what waited', () => {
  const { network, alice, bob } = pair(2)
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob)
  network.filter = ({ bytes }) => bytes[0] !== 4
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(200)
  assert.equal(alice.to(bob).state, 'established')
  assert.equal(bob.to(alice).state, 'handshaking')
  assert.equal(bob.send(alice, ipPacket(60, 3)), DropReason.NoSession)
  network.filter = () => true
  alice.send(bob)
  network.run(100)
  assert.equal(alice.received[0]?.packet[40], 3)
})

test('passive keepalive: who received data and said nothing sends an empty packet after 10 s, once', () => {
  const { network, alice, bob } = connected(3)
  network.run(100)
  network.sent.length = 0
  alice.send(bob)
  network.run(60_000)
  const empties = network.sent.filter(({ bytes, from }) => bytes.length === 32 && from.port === bob.address.port)
  assert.equal(empties.length, 1)
  assert.ok(empties[0]!.at - network.sent[0]!.at >= 10_000)
  assert.equal(network.sent.length, 2, 'no ping-pong of keepalives, no needless handshake')
})

test('data sent and nothing heard for 15 s: a new handshake', () => {
  const { network, alice, bob } = connected(4)
  network.run(100)
  network.loss = 1
  network.sent.length = 0
  alice.send(bob)
  const from = network.now
  network.run(14_900)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 1).length, 0)
  network.run(500)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 1).length, 1)
  assert.ok(network.now - from < 15_500)
})

test('persistent keepalive speaks while a session lives', () => {
  const { network, alice, bob } = pair(5)
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob, { persistentKeepalive: 25_000 as never, firstContact: true })
  network.run(100_000)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 4).length, 4)
})

test('REJECT-AFTER-TIME: an idle session lapses at both ends after 180 s, its keys wiped, and the next packet re-makes it', () => {
  const { network, alice, bob } = connected(6)
  network.run(179_000)
  assert.equal(alice.to(bob).state, 'established')
  network.run(2_000)
  for (const [node, other] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    assert.equal(node.to(other).state, 'idle')
    assert.equal(node.to(other).sessionCount, 0)
    assert.equal(node.count('lapsed'), 1)
  }
  bob.send(alice, ipPacket(60, 4))
  network.run(1_000)
  assert.equal(alice.received[0]?.packet[40], 4, 'the other side may re-make it too')
})

test('REKEY-AFTER-MESSAGES 2^60 asks for a new session, REJECT-AFTER-MESSAGES ends the old one, exactly', () => {
  const { network, alice, bob } = connected(7)
  network.run(100)
  const session = alice.to(bob).session!
  session.skipTo(2 ** 28 - 1, 0xffff_fffe)
  network.sent.length = 0
  alice.send(bob)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 1).length, 0, 'counter 2^60 - 2')
  alice.send(bob)
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 1).length, 1, 'the next would be 2^60')
  network.run(100)
  assert.notEqual(alice.to(bob).session, session)
  assert.equal(bob.received.length, 2)

  const last = alice.to(bob).session!
  network.loss = 1
  last.skipTo(0xffff_ffff, 2 ** 32 - 8193 - 1)
  network.sent.length = 0
  assert.ok(alice.send(bob) > 0)
  const data = network.sent.find(({ bytes }) => bytes[0] === 4)!.bytes
  assert.equal(Buffer.from(data.subarray(8, 16)).readBigUInt64LE(), 2n ** 64n - 2n ** 13n - 2n)
  assert.equal(alice.send(bob), DropReason.NoSession)
  network.loss = 0
  network.run(10_000)
  assert.equal(alice.to(bob).state, 'established')
  assert.notEqual(alice.to(bob).session, last)
  assert.throws(() => alice.to(bob).session!.skipTo(0, 0), RangeError)
})

test('counters pass 2^32 and 2^53 exactly, on the wire and in the window', () => {
  const { network, alice, bob } = connected(8)
  network.run(100)
  for (const [high, low] of [
    [0, 0xffff_fffe],
    [2 ** 21 - 1, 0xffff_fffe],
    [2 ** 21, 0xffff_fffe],
  ] as const) {
    alice.to(bob).session!.skipTo(high, low)
    const before = bob.received.length
    for (let i = 0; i < 4; i++) alice.send(bob)
    network.run(100)
    assert.equal(bob.received.length - before, 4)
    const counter = Buffer.from(network.sent.at(-1)!.bytes.subarray(8, 16)).readBigUInt64LE()
    assert.equal(counter, (BigInt(high) << 32n) + BigInt(low) + 3n)
  }
})

/** A suite that knows which AEAD keys and X25519 secrets still exist. */
function watchingSuite(seed: number) {
  const suite = seededSuite(seed)
  const live = new Set<Aead>()
  const secrets: Uint8Array[] = []
  const watched: Suite = {
    ...suite,
    chacha20poly1305: {
      ...suite.chacha20poly1305,
      key(bytes) {
        const aead = suite.chacha20poly1305.key(bytes)
        const wrapped: Aead = {
          seal: (...args) => aead.seal(...args),
          open: (...args) => aead.open(...args),
          wipe() {
            live.delete(wrapped)
            aead.wipe()
          },
        }
        live.add(wrapped)
        return wrapped
      },
    },
    x25519: {
      ...suite.x25519,
      generate() {
        const pair = suite.x25519.generate()
        secrets.push(pair.privateKey)
        return pair
      },
    },
  }
  return { suite: watched, live, secrets }
}

test('old keys are wiped: replaced, expired and abandoned ones, and every ephemeral secret', () => {
  const a = watchingSuite(9)
  const b = watchingSuite(10)
  const { network, alice, bob } = connected(9, { suite: a.suite }, { suite: b.suite })
  for (let i = 0; i < 700; i++) {
    alice.send(bob)
    bob.send(alice)
    network.run(1_000)
  }
  const sessions = alice.to(bob).sessionCount
  assert.ok(sessions <= 2)
  assert.equal(a.live.size, 2 * sessions, 'two keys for each session that still receives')
  assert.equal(b.live.size, 2 * bob.to(alice).sessionCount)
  network.run(200_000)
  assert.equal(a.live.size, 0)
  assert.equal(b.live.size, 0)
  network.loss = 1
  alice.send(bob)
  network.run(3_000)
  alice.endpoint.removePeer(alice.to(bob))
  assert.equal(a.live.size, 0)
  // The first secret of each is its static key, which stays.
  for (const { secrets } of [a, b]) for (const secret of secrets.slice(1)) assert.ok(secret.every((byte) => byte === 0))
})

test('a PSK is part of the handshake: the same one works, another one or none does not', () => {
  const psk = new Uint8Array(32).fill(7)
  for (const [theirs, works] of [
    [psk, true],
    [new Uint8Array(32).fill(8), false],
    [undefined, false],
  ] as const) {
    const { network, alice, bob } = pair(11)
    bob.peer(alice, { endpoint: undefined, psk: theirs })
    alice.peer(bob, { psk, firstContact: true })
    network.run(3_000)
    assert.equal(alice.to(bob).state === 'established', works)
  }
})
