import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { ALICE, type EspNode, espConnected, packetBetween } from './esp-link.ts'

/** One sealed datagram of Alice's that is not sent. */
function sealedBy(alice: EspNode, bob: EspNode, length = 64): Uint8Array {
  const out = new Uint8Array(2_000)
  const inner = packetBetween(alice.name, bob.name, 0, length)
  return out.slice(0, alice.to(bob).seal(inner, inner.length, out, alice.now))
}

test('P-03 a hundred moves of address, port and family: the path follows the first packet, nothing is set up anew', () => {
  const { network, alice, bob } = espConnected(1)
  for (let move = 0; move < 100; move++) {
    const address = move % 2 === 0 ? { address: '2001:db8::1', port: 2_000 + move } : { address: '192.0.2.9', port: 2_000 + move }
    network.move(alice, address)
    assert.ok(alice.send(bob, move) > 0)
    network.run(20)
    assert.deepEqual(bob.to(alice).endpoint, address)
    const before = alice.received.length
    alice.send(bob, move)
    network.run(20)
    assert.ok(bob.send(alice, move) > 0)
    network.run(20)
    assert.equal(alice.received.length, before + 1)
  }
  assert.equal(bob.count('roamed'), 100)
  assert.equal(alice.count('established') + bob.count('established'), 2)
})

test('P-06 the NAT forgets its mapping: with traffic each 200 ms the way back is there at once, idle after the next sign of life', () => {
  const { network, alice, bob } = espConnected(2)
  network.run(1_000)
  network.move(alice, { address: '192.0.2.1', port: 61_000 })
  const from = network.now
  const before = alice.received.length
  while (alice.received.length === before) {
    alice.send(bob, 1)
    bob.send(alice, 1)
    network.run(200)
  }
  assert.ok(network.now - from <= 400, `${network.now - from} ms`)
  network.move(alice, { address: '192.0.2.1', port: 61_001 })
  alice.endpoint.sendKeepalive(alice.to(bob), network.now)
  network.run(20)
  assert.equal(bob.to(alice).endpoint?.port, 61_001)
})

test('liveness and data never part: an IKE message from a new place moves the data there too, and the other way round', () => {
  const { network, alice, bob } = espConnected(3)
  network.move(alice, { address: '192.0.2.1', port: 62_000 })
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(50)
  assert.equal(bob.to(alice).endpoint?.port, 62_000)
  assert.ok(bob.send(alice, 5) > 0)
  network.run(50)
  assert.equal(alice.received.length, 1)
  network.move(alice, { address: '192.0.2.1', port: 62_001 })
  alice.send(bob, 6)
  network.run(50)
  network.sent.length = 0
  bob.endpoint.initiate(bob.to(alice), network.now)
  assert.equal(network.sent[0]?.to.port, 62_001, "Bob's own IKE messages follow the data")
  network.run(2_000)
  assert.equal(network.sent.filter(({ from }) => from.port === 62_001).length, 1)
})

test('A-11 A-13 replays and late packets from elsewhere move nobody and are no sign of life', () => {
  const { network, alice, bob } = espConnected(4)
  const late = sealedBy(alice, bob)
  const taken = sealedBy(alice, bob)
  bob.receive(taken, ALICE)
  network.run(1_000)
  const thief = { address: '203.0.113.66', port: 666 }
  const before = bob.to(alice).lastAuthentic
  assert.equal(bob.receive(taken, thief), DropReason.Replayed)
  assert.equal(bob.to(alice).lastAuthentic, before)
  assert.equal(bob.receive(late, thief), 64, 'taken, for it is authentic and fresh')
  assert.deepEqual(bob.to(alice).endpoint, ALICE, 'but it is not the newest')
  // IKE requests are numbered: a replayed one is answered again, and that is all.
  const probes = network.sent.length
  alice.endpoint.initiate(alice.to(bob), network.now)
  const probe = network.sent[probes]!.bytes
  network.run(100)
  const verdict = bob.receive(probe, thief)
  assert.ok(verdict < 0)
  assert.deepEqual(bob.to(alice).endpoint, ALICE)
})

test('A-14 a relayed newest packet wins three times its bytes at the victim, until a newer one comes from there', () => {
  const { network, alice, bob } = espConnected(5)
  const victim = { address: '203.0.113.80', port: 80 }
  const relayed = sealedBy(alice, bob)
  bob.receive(relayed, victim)
  assert.deepEqual(bob.to(alice).endpoint, victim)
  network.sent.length = 0
  for (let i = 0; i < 100; i++) bob.send(alice, i, packetBetween('bob.example', 'alice.example', i, 200))
  bob.endpoint.sendKeepalive(bob.to(alice), network.now)
  bob.endpoint.initiate(bob.to(alice), network.now)
  const poured = network.sent.filter(({ to }) => to.port === 80).reduce((sum, { bytes }) => sum + bytes.length, 0)
  assert.ok(poured <= 3 * relayed.length, `${poured} bytes for ${relayed.length}`)
  bob.send(alice)
  assert.deepEqual(network.sent.at(-1)!.to, ALICE, 'the rest goes to the peer')
  alice.send(bob)
  network.run(100)
  assert.deepEqual(bob.to(alice).endpoint, ALICE, 'the peer itself has it back with its next packet')
  assert.ok(bob.send(alice) > 0)
})

test('data of a Child SA that a younger one has replaced moves nobody', () => {
  const { network, alice, bob } = espConnected(6)
  const old = alice.to(bob).session!
  const out = new Uint8Array(200)
  const inner = packetBetween('alice.example', 'bob.example')
  old.skipTo(0, 1_000)
  const late = out.slice(0, old.seal(inner, inner.length, inner.length, 41, out))
  const { ike } = alice.to(bob)
  ike!.sa.rekeyChild(old.inboundSpi, network.now)
  ike!.settle(network.now)
  network.run(500)
  alice.send(bob)
  network.run(100)
  assert.equal(bob.receive(late, { address: '203.0.113.5', port: 5 }), 64, 'received for a while')
  assert.deepEqual(bob.to(alice).endpoint, ALICE)
  network.run(10_000)
  assert.equal(bob.receive(late, ALICE), DropReason.UnknownReceiver, 'and then forgotten')
})

test('MOBIKE: initiate from a new place proves it, and lifts the limit on what goes there', () => {
  const { network, alice, bob } = espConnected(7)
  const { ike } = bob.to(alice)
  network.move(alice, { address: '2001:db8::7', port: 63_000 })
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(100)
  assert.equal(bob.to(alice).endpoint?.port, 63_000)
  for (let i = 0; i < 50; i++) assert.ok(bob.send(alice, i, packetBetween('bob.example', 'alice.example', i, 1_200)) > 0)
  network.run(5_000)
  assert.equal(alice.received.length, 50)
  assert.equal(bob.to(alice).ike, ike, 'the same IKE SA')
})
