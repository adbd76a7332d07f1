import assert from 'node:assert/strict'
import test from 'node:test'
import { B, connected, ipPacket, Node, pair, seededSuite, VirtualNetwork } from './virtual-link.ts'

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!

test('P-08 handshake under 30 % loss each way: 1,000 of them, p50 <= 1.5 s, p99 <= 8 s, all <= 30 s', (t) => {
  const times: number[] = []
  const network = new VirtualNetwork(8)
  network.recording = false
  network.delay = 25
  network.loss = 0.3
  const bob = new Node(network, B)
  for (let i = 0; i < 1000; i++) {
    const alice = new Node(network, { address: '192.0.2.9', port: 2000 + i }, { suite: seededSuite(i) })
    bob.peer(alice, { endpoint: undefined })
    const began = network.now
    alice.peer(bob, { firstContact: true })
    assert.ok(
      network.run(60_000, () => alice.to(bob).state === 'established'),
      `handshake ${i} never ended`,
    )
    // Done when a packet has come through, not when we believe that it would: what is sent is repeated, as any TCP does.
    while (bob.to(alice).state !== 'established') {
      alice.send(bob)
      network.run(200, () => bob.to(alice).state === 'established')
    }
    times.push(network.now - began)
    alice.endpoint.removePeer(alice.to(bob))
    network.remove(alice)
    bob.endpoint.removePeer(bob.to(alice))
  }
  times.sort((a, b) => a - b)
  const [p50, p99, max] = [quantile(times, 0.5), quantile(times, 0.99), times.at(-1)!]
  t.diagnostic(`n 1000, seed 8: p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, max ${max.toFixed(0)} ms`)
  assert.ok(p50 <= 1_500 && p99 <= 8_000 && max <= 30_000, `p50 ${p50}, p99 ${p99}, max ${max}`)
})

test('P-09 a round trip of 2 s: one session at both ends, and packets flow at once', () => {
  const { network, alice, bob } = pair(9)
  network.delay = 1000
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob)
  alice.send(bob, ipPacket(80, 1))
  network.run(30_000)
  assert.equal(alice.count('established'), 1)
  assert.equal(bob.count('established'), 1)
  assert.equal(bob.received.length, 1)
  const first = network.sent.filter(({ bytes }) => bytes[0] === 1).length
  assert.ok(first <= 4, `${first} initiations before the first answer could come`)
  const index = (node: Node, other: Node) => node.to(other).session
  assert.equal(index(alice, bob)?.local, index(bob, alice)?.remote, 'both send with the same session')
  assert.equal(alice.to(bob).roundTrip, 2000)
})

test('P-09 ten minutes at a round trip of 2 s: no flap, at most one spurious retransmission a rekey', () => {
  const { network, alice, bob } = pair(10)
  network.delay = 1000
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob)
  alice.send(bob)
  network.run(10_000)
  network.sent.length = 0
  let sent = 0
  for (let i = 0; i < 600; i++) {
    if (alice.send(bob) > 0) sent++
    if (bob.send(alice) > 0) sent++
    network.run(1000)
  }
  network.run(5000)
  assert.equal(sent, 1200, 'a session was there all the time')
  assert.equal(alice.received.length + bob.received.length, 1200 + 1, 'nothing was lost')
  assert.equal(alice.count('lapsed') + bob.count('lapsed'), 0)
  const initiations = network.sent.filter(({ bytes }) => bytes[0] === 1).length
  const rekeys = alice.to(bob).counters.handshakes - 1
  assert.ok(rekeys >= 4 && initiations <= 2 * rekeys, `${initiations} initiations for ${rekeys} rekeys`)
})

test('first contact retries at 0.5 s, then each second twelve times, then each 5 s, and never gives up', () => {
  const { network, alice, bob } = pair(11)
  network.loss = 1
  alice.peer(bob, { firstContact: true })
  network.run(3_600_000)
  const times = network.sent.map(({ at }) => at - network.sent[0]!.at)
  const gaps = times.slice(1).map((at, i) => at - times[i]!)
  assert.ok(gaps[0]! >= 500 && gaps[0]! <= 560)
  for (const gap of gaps.slice(1, 13)) assert.ok(gap >= 1000 && gap <= 1110, `gap ${gap}`)
  for (const gap of gaps.slice(13, 30)) assert.ok(gap >= 5000 && gap <= 5333, `gap ${gap}`)
  assert.ok(Math.max(...gaps) <= 60_000)
  assert.ok(gaps.at(-1)! >= 40_000, 'rare after long silence')
  assert.ok(alice.count('unanswered') > 10)
  assert.equal(new Set(network.sent.map(({ bytes }) => Buffer.from(bytes.subarray(8, 40)).toString('hex'))).size, times.length)
  assert.ok(alice.endpoint.deadline(), 'it still tries')
})

test('without an owner who always wants it, asking ends 90 s after the last packet, and begins again with the next', () => {
  const { network, alice, bob } = pair(12)
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob)
  network.loss = 1
  assert.ok(alice.send(bob) < 0)
  network.run(200_000)
  assert.equal(alice.to(bob).state, 'idle')
  assert.equal(alice.endpoint.deadline(), undefined)
  network.loss = 0
  alice.send(bob, ipPacket(60, 9))
  network.run(1000)
  assert.deepEqual(
    bob.received.map(({ packet }) => packet[40]),
    [9],
    'what waited in vain was dropped, the new one came',
  )
})

test('a response to any of the last four initiations is taken, to an older one not', () => {
  for (const [nth, taken] of [
    [5, true],
    [2, true],
    [1, false],
  ] as const) {
    const { network, alice, bob } = pair(13)
    bob.peer(alice, { endpoint: undefined })
    alice.peer(bob, { firstContact: true })
    network.filter = ({ to }) => to.port === bob.address.port && false
    network.run(4_000)
    const initiations = network.sent.filter(({ bytes }) => bytes[0] === 1)
    assert.equal(initiations.length, 5)
    network.filter = () => true
    network.inject({ ...initiations[nth - 1]!, at: network.now })
    network.run(100)
    assert.equal(alice.to(bob).state === 'established', taken, `the answer to initiation ${nth}`)
  }
})

test('packets wait for the session in bounds, the newest are kept, and go out after the handshake', () => {
  const { network, alice, bob } = pair(14)
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob)
  for (let i = 0; i < 40; i++) alice.send(bob, ipPacket(100, i))
  network.run(1000)
  assert.deepEqual(
    bob.received.map(({ packet }) => packet[40]),
    Array.from({ length: 32 }, (_, i) => i + 8),
  )
  assert.equal(alice.endpoint.counters.of(-21), 8)
})

test('P-07 peer death noticed: blocked both ways for 13 s, data flows within 2 s of the unblocking, 100 of 100', () => {
  for (let seed = 0; seed < 100; seed++) {
    const { network, alice, bob } = connected(seed)
    network.recording = false
    network.loss = 1
    for (let i = 0; i < 65; i++) {
      alice.send(bob)
      bob.send(alice)
      network.run(200)
    }
    network.loss = 0
    const [a, b] = [alice.received.length, bob.received.length]
    const flows = () => alice.received.length > a && bob.received.length > b
    for (let i = 0; i < 10 && !flows(); i++) {
      alice.send(bob)
      bob.send(alice)
      network.run(200, flows)
    }
    assert.ok(flows(), `seed ${seed}`)
    assert.equal(alice.count('lapsed'), 0)
  }
})

test('P-07 a peer that came back without its keys is noticed by silence and reached again', () => {
  const { network, alice, bob } = connected(15)
  bob.to(alice).reset()
  let came = false
  for (let i = 0; i < 40 && !came; i++) {
    alice.send(bob)
    came = network.run(500, () => bob.received.length > 0)
  }
  assert.ok(came)
})

test('a call is one initiation that nothing repeats; its answer makes a session, and a late demand asks as ever', () => {
  const { network, alice, bob } = pair(12)
  const initiations = () => network.sent.filter(({ bytes }) => bytes[0] === 1).length
  const association = alice.peer(bob)
  network.loss = 1
  alice.endpoint.call(association, alice.now)
  alice.endpoint.call(association, alice.now)
  network.run(60_000)
  assert.equal(initiations(), 2)
  assert.equal(association.state, 'idle')
  network.loss = 0
  bob.peer(alice, { endpoint: undefined })
  alice.endpoint.call(association, alice.now)
  assert.ok(network.run(1_000, () => association.state === 'established'))
  assert.equal(alice.count('established'), 1)
  assert.equal(initiations(), 3)
  network.loss = 1
  association.reset()
  alice.endpoint.call(association, alice.now)
  alice.send(bob)
  network.run(3_000)
  assert.ok(initiations() >= 5, 'who has something to say repeats it')
})
