import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { A, connected, ipPacket } from './virtual-link.ts'

/** A-26 speaks of ESP; these are its likenesses in the noise suite. The inner source is judged in test/shared/dataplane. */

const RECEIVER = 4
const COUNTER = 8

/** A session and one sealed datagram of it that Bob has not seen. */
function sealed(packet = ipPacket(64)) {
  const made = connected(26)
  const { network, alice, bob } = made
  const before = network.sent.length
  network.filter = () => false
  alice.send(bob, packet)
  network.filter = () => true
  return { ...made, datagram: network.sent[before]!.bytes, heard: bob.received.length }
}

test('A-26 wrong receiver index, wrong counter, changed and cut tags: dropped, counted, and the session goes on', () => {
  const { alice, bob, datagram, heard } = sealed()
  const changed = (at: number) => {
    const copy = datagram.slice()
    copy[at]! ^= 0x80
    return copy
  }
  for (let at = RECEIVER; at < RECEIVER + 4; at++) assert.equal(bob.receive(changed(at), A), DropReason.UnknownReceiver)
  // The counter is the nonce: any other one fails to open, at 0 and at the far edge too.
  for (const counter of [1n << 60n, (1n << 64n) - 1n, 77n]) {
    const copy = datagram.slice()
    new DataView(copy.buffer).setBigUint64(COUNTER, counter, true)
    assert.ok(bob.receive(copy, A) < 0)
  }
  for (let at = 16; at < datagram.length; at++) assert.equal(bob.receive(changed(at), A), DropReason.Unauthentic)
  for (let length = 0; length < datagram.length; length++) assert.ok(bob.receive(datagram.slice(0, length), A) < 0, `${length}`)
  const longer = new Uint8Array(datagram.length + 1)
  longer.set(datagram)
  assert.ok(bob.receive(longer, A) < 0)
  assert.equal(bob.received.length, heard)
  assert.ok(bob.endpoint.counters.of(DropReason.UnknownReceiver) >= 4)
  assert.ok(bob.endpoint.counters.of(DropReason.Unauthentic) >= datagram.length - 16)

  assert.ok(bob.receive(datagram, A) > 0, 'none of that has spent the counter')
  assert.equal(bob.receive(datagram, A), DropReason.Replayed)
  assert.ok(alice)
})

test('A-26 counter 0 opens once', () => {
  const { network, alice, bob } = connected(27)
  const first = network.sent.find(({ bytes }) => bytes[0] === 4)
  if (first === undefined) alice.send(bob)
  const datagram = (first ?? network.sent.find(({ bytes }) => bytes[0] === 4))!.bytes
  assert.equal(new DataView(datagram.buffer, datagram.byteOffset).getBigUint64(COUNTER, true), 0n)
  network.run(100)
  assert.equal(bob.receive(datagram, A), DropReason.Replayed)
})

test('A-26 an authentic packet with a false inner length or version is dropped and counted', () => {
  const tooLong = ipPacket(64)
  tooLong[5] = 200
  const noVersion = ipPacket(64)
  noVersion[0] = 0x50
  for (const packet of [tooLong, noVersion]) {
    const { bob, datagram, heard } = sealed(packet)
    assert.equal(bob.receive(datagram, A), DropReason.InnerMalformed)
    assert.equal(bob.received.length, heard)
    assert.equal(bob.endpoint.counters.of(DropReason.InnerMalformed), 1)
  }
})

test('A-26 padding is no part of the packet, and an authentic keepalive is nothing to deliver', () => {
  const { network, alice, bob, datagram, heard } = sealed(ipPacket(61))
  assert.equal(datagram.length % 16, 0)
  assert.equal(bob.receive(datagram, A), 61)
  alice.endpoint.sendKeepalive(alice.to(bob), network.now)
  network.run(100)
  assert.equal(bob.verdicts.at(-1), 0)
  assert.equal(bob.received.length, heard + 1)
})
