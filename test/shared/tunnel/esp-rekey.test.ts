import assert from 'node:assert/strict'
import test from 'node:test'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import { type EspNode, espConnected, markOf } from './esp-link.ts'

/** As soon as may be: what is renewed is renewed each two seconds, and nobody is told to wait. */
const hasty = { rekeySpacing: milliseconds(0) }
const twoSeconds = { softTime: seconds(2), hardTime: seconds(20) }

/** Traffic both ways; returns what was lost at either end. */
function exchange(
  network: { run(ms: number): unknown },
  alice: EspNode,
  bob: EspNode,
  packets: number,
  spacing: number,
): number[] {
  const before = [alice.received.length, bob.received.length]
  for (let i = 0; i < packets; i++) {
    assert.ok(alice.send(bob, i) > 0, `alice could not send packet ${i}`)
    assert.ok(bob.send(alice, i) > 0, `bob could not send packet ${i}`)
    network.run(spacing)
  }
  network.run(2_000)
  const lost = [alice, bob].map((node, at) => {
    const marks = new Set(node.received.slice(before[at]).map(({ packet }) => markOf(packet)))
    return packets - marks.size
  })
  return lost
}

const sameChild = (a: EspNode, b: EspNode): boolean =>
  a.to(b).session !== undefined &&
  a.to(b).session?.inboundSpi === b.to(a).session?.outboundSpi &&
  a.to(b).session?.outboundSpi === b.to(a).session?.inboundSpi

test('P-27 Child SAs renewed each two seconds under traffic: no inner packet is lost, and one Child SA is left', () => {
  const options = { settings: hasty, lifetime: twoSeconds }
  const { network, alice, bob } = espConnected(1, options, options)
  network.recording = false
  assert.deepEqual(exchange(network, alice, bob, 6_000, 50), [0, 0])
  const rekeys = alice.events.filter((event) => event.kind === 'established' && event.rekey).length
  assert.ok(rekeys > 120, `${rekeys} renewals in 300 s`)
  assert.ok(sameChild(alice, bob))
  assert.ok(alice.to(bob).sessionCount <= 5 && bob.to(alice).sessionCount <= 5, 'one that sends, the others wait to be forgotten')
  assert.equal(alice.count('lapsed') + bob.count('lapsed'), 0)
})

test('P-27 both ends renew at the same instant, on a slow path, again and again: nothing lost, one Child SA', () => {
  for (let seed = 10; seed < 20; seed++) {
    const options = { settings: hasty, lifetime: { softTime: seconds(1e6), hardTime: seconds(2e6) } }
    const { network, alice, bob } = espConnected(seed, options, options)
    network.recording = false
    network.delay = 80
    for (let round = 0; round < 10; round++) {
      for (const [node, other] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        const { session, ike } = node.to(other)
        ike!.sa.rekeyChild(session!.inboundSpi, network.now)
        ike!.settle(network.now)
      }
      assert.deepEqual(exchange(network, alice, bob, 20, 20), [0, 0], `seed ${seed} round ${round}`)
      assert.ok(sameChild(alice, bob), `seed ${seed} round ${round}`)
    }
    network.run(20_000)
    assert.equal(alice.to(bob).sessionCount, 1)
    assert.equal(bob.to(alice).sessionCount, 1)
  }
})

test('P-27 the IKE SA is renewed under traffic, by both ends at once too: nothing lost, one IKE SA, found by its new SPIs', () => {
  for (let seed = 30; seed < 36; seed++) {
    const { network, alice, bob } = espConnected(seed, { settings: hasty }, { settings: hasty })
    network.recording = false
    network.delay = 60
    for (let round = 0; round < 6; round++) {
      const both = round % 2 === 0
      for (const [node, other] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        if (!both && node === bob) continue
        const { ike } = node.to(other)
        ike!.sa.rekeyIke(network.now)
        ike!.settle(network.now)
      }
      assert.deepEqual(exchange(network, alice, bob, 20, 20), [0, 0], `seed ${seed} round ${round}`)
    }
    network.run(60_000)
    for (const [node, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      assert.equal(node.to(other).ikeCount, 1)
      assert.equal(node.endpoint.sizes.ikeSpis, 1, 'old SPIs lead nowhere any more')
      assert.equal(node.count('lapsed'), 0)
    }
  }
})

test('P-27 renewals under 20 % loss: only what the path loses is lost', () => {
  const options = { settings: hasty, lifetime: { softTime: seconds(3), hardTime: seconds(60) } }
  for (let seed = 50; seed < 54; seed++) {
    const { network, alice, bob } = espConnected(seed, options, options)
    network.recording = false
    // What is lost: control messages alone, so that every inner packet must come through.
    network.filter = ({ bytes }) => bytes[0] !== 0 || network.dice() >= 0.2
    assert.deepEqual(exchange(network, alice, bob, 1_200, 50), [0, 0], `seed ${seed}`)
    assert.equal(alice.count('lapsed') + bob.count('lapsed'), 0)
  }
})

test('P-27 a lifetime in packets: renewed before it ends, nothing lost', () => {
  const options = { settings: hasty, lifetime: { softPackets: 200, hardPackets: 400 } }
  const { network, alice, bob } = espConnected(2, options, options)
  network.recording = false
  assert.deepEqual(exchange(network, alice, bob, 2_000, 20), [0, 0])
  assert.ok(alice.to(bob).counters.handshakes >= 15, `${alice.to(bob).counters.handshakes} renewals`)
})

test('P-27 numbers near their end ask for another Child SA; one that is at its end sends no more, never throws, and is replaced', () => {
  const { network, alice, bob } = espConnected(3, { settings: hasty }, { settings: hasty })
  const soft = alice.to(bob).session!
  soft.skipTo(2 ** 28, 0)
  // Bob cannot follow a jump beyond 2^32; only the asking is looked at here.
  alice.send(bob)
  network.run(1_000)
  assert.notEqual(alice.to(bob).session, soft)
  assert.ok(sameChild(alice, bob))
  const last = alice.to(bob).session!
  network.loss = 1
  last.skipTo(2 ** 32 - 2 ** 8, 0)
  assert.ok(alice.send(bob, 9) < 0, 'the packet waits')
  network.run(1_000)
  network.loss = 0
  network.run(10_000)
  assert.notEqual(alice.to(bob).session, last)
  assert.equal(alice.to(bob).state, 'established')
  assert.ok(bob.received.some(({ packet }) => markOf(packet) === 9))
})

test('P-27 a hard limit that renewal did not forestall: no packet beyond it, and a new Child SA', () => {
  const { network, alice, bob } = espConnected(4, { lifetime: { softPackets: 1e9, hardPackets: 50 } }, {})
  for (let i = 0; i < 60; i++) {
    alice.send(bob, i)
    network.run(100)
  }
  network.run(5_000)
  assert.equal(alice.to(bob).state, 'established')
  const marks = new Set(bob.received.map(({ packet }) => markOf(packet)))
  assert.equal(marks.size, 60, 'what could not be sent waited')
})
