import assert from 'node:assert/strict'
import test from 'node:test'
import { seconds } from '#shared/time/instant.ts'
import { A, B, connected, ipPacket, pair } from './virtual-link.ts'

const away = { address: '203.0.113.5', port: 5005 }

test('P-03 a hundred moves between IPv4 and IPv6: the path is back after one packet, no handshake', () => {
  const { network, alice, bob } = connected(1)
  network.run(100)
  network.recording = false
  for (let move = 0; move < 100; move++) {
    const to =
      move % 2 ? { address: `192.0.2.${move + 1}`, port: 1000 + move } : { address: `2001:db8::${move + 1}`, port: 1000 + move }
    network.move(alice, to)
    const before = alice.received.length
    alice.send(bob)
    network.run(network.delay + 1)
    assert.deepEqual(bob.to(alice).endpoint, to)
    assert.ok(bob.send(alice) > 0)
    network.run(network.delay + 1)
    assert.equal(alice.received.length, before + 1, `move ${move}`)
  }
  assert.equal(bob.count('roamed'), 100)
  assert.equal(alice.to(bob).counters.handshakes, 1)
})

test('A-13 only the newest authentic packet moves the peer: an older one that comes late from elsewhere does not', () => {
  const { network, alice, bob } = connected(2)
  network.run(100)
  network.sent.length = 0
  network.filter = () => false
  alice.send(bob, ipPacket(64, 1))
  const held = network.sent[0]!.bytes
  network.filter = () => true
  alice.send(bob, ipPacket(64, 2))
  network.run(100)
  assert.equal(bob.receive(held, away), 64, 'it is delivered')
  assert.deepEqual(bob.to(alice).endpoint, A, 'and moves nobody')
})

test('A-13 A-14 after a move at most three times the bytes that came from there go there, and the rest to the proven place', () => {
  const { network, alice, bob } = connected(3)
  network.run(100)
  // Eve sends Alice's newest packet on from a victim's address, before Alice's own copy arrives.
  network.filter = () => false
  network.sent.length = 0
  alice.send(bob, ipPacket(100))
  const stolen = network.sent[0]!.bytes
  network.filter = () => true
  bob.receive(stolen, away)
  assert.deepEqual(bob.to(alice).endpoint, away)
  network.sent.length = 0
  for (let i = 0; i < 100; i++) assert.ok(bob.send(alice, ipPacket(200)) > 0)
  const bytes = network.sent.filter(({ to }) => to.port === away.port).reduce((sum, { bytes }) => sum + bytes.length, 0)
  assert.ok(bytes <= 3 * stolen.length, `${bytes} bytes for ${stolen.length}`)
  assert.ok(network.sent.filter(({ to }) => to.port === A.port).length > 90, 'Alice loses next to nothing')
  bob.receive(stolen, away)
  bob.send(alice, ipPacket(200))
  assert.deepEqual(network.sent.at(-1)!.to, A, 'a replay opens nothing')
  alice.send(bob)
  network.run(100)
  assert.deepEqual(bob.to(alice).endpoint, A, 'Alice speaks, and is found where she was')
  assert.ok(bob.send(alice, ipPacket(1200)) > 0, 'with no limit, for that place was proven')
})

test('A-14 a newer packet from the new address ends the limit', () => {
  const { network, alice, bob } = connected(4)
  network.run(100)
  network.move(alice, away)
  alice.send(bob, ipPacket(64))
  network.run(50)
  bob.send(alice, ipPacket(1000))
  assert.deepEqual(network.sent.at(-1)!.to, A)
  alice.send(bob, ipPacket(64))
  network.run(50)
  bob.send(alice, ipPacket(1000))
  assert.deepEqual(network.sent.at(-1)!.to, away)
})

test('A-13 an initiation from elsewhere is answered there, but moves the peer only when his data follows', () => {
  const { network, alice, bob } = connected(5)
  network.run(1_000)
  network.filter = ({ bytes }) => bytes[0] !== 4
  network.move(alice, away)
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(100)
  assert.deepEqual(bob.to(alice).endpoint, A)
  network.filter = () => true
  alice.send(bob)
  network.run(100)
  assert.deepEqual(bob.to(alice).endpoint, away)
})

test('a broker that moved is followed by its answers, and told by an event', () => {
  const { network, alice, bob } = connected(6)
  network.run(100)
  const moved = { ...B, port: 4501 }
  network.move(bob, moved)
  bob.send(alice)
  network.run(50)
  assert.deepEqual(alice.to(bob).endpoint, moved)
  const event = alice.events.find(({ kind }) => kind === 'roamed')
  assert.deepEqual(event && 'to' in event && [event.from, event.to], [B, moved])
})

test('initiations go to the last proven place once an unproven one has had its share', () => {
  const { network, alice, bob } = connected(7)
  network.run(100)
  network.filter = () => false
  network.sent.length = 0
  alice.send(bob, ipPacket(64))
  network.filter = () => true
  bob.receive(network.sent[0]!.bytes, away)
  network.loss = 1
  network.sent.length = 0
  bob.endpoint.initiate(bob.to(alice), network.now)
  network.run(10_000)
  const toAway = network.sent.filter(({ to }) => to.port === away.port).length
  const toProven = network.sent.filter(({ to }) => to.port === A.port).length
  assert.ok(toAway <= 2 && toProven > 3, `${toAway} to the new place, ${toProven} to the old`)
})

test('a persistent keepalive that may not be sent (A-14) is not tried in a circle', () => {
  const { network, alice, bob } = pair(8)
  bob.peer(alice, { endpoint: undefined, persistentKeepalive: seconds(10) })
  alice.peer(bob, { firstContact: true })
  network.run(1_000)
  network.filter = () => false
  network.sent.length = 0
  alice.send(bob, ipPacket(41))
  network.filter = () => true
  bob.receive(network.sent[0]!.bytes, away)
  network.sent.length = 0
  network.run(100_000)
  assert.ok(network.sent.length < 60)
})

test('P-06 a peer that moves by a handshake has proven its new place by the first packet: idle again, it is called there', () => {
  const { network, alice, bob } = connected(9)
  network.run(100)
  const moved = { ...A, port: 4999 }
  network.move(alice, moved)
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(1_000)
  assert.deepEqual(bob.to(alice).endpoint, moved)
  network.run(600_000)
  network.sent.length = 0
  bob.endpoint.call(bob.to(alice), network.now)
  assert.deepEqual(
    network.sent.map(({ to }) => to),
    [moved],
  )
})
