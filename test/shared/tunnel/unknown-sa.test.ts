import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { type Endpoint, sameEndpoint } from '#shared/tunnel/association.ts'
import { announcedLoss, isUnknownSa, UNKNOWN_SA_LENGTH, unknownChild } from '#shared/tunnel/unknown-sa.ts'
import { decodeIkeMessage } from '#shared/wire/ike-message.ts'
import { EspNode, espConnected } from './esp-link.ts'

/** Bob dies and is there again at the same place, without a memory. */
function reborn(bob: EspNode, formerPeer?: EspNode): EspNode {
  bob.network.remove(bob)
  const mayHoldFormer = (from: Endpoint): boolean => sameEndpoint(from, formerPeer?.address)
  return new EspNode(bob.network, bob.name, bob.address, { endpoint: { suite: nativeSuite, mayHoldFormer } })
}

test('a restarted end tells who speaks to its former life; that one asks, hears nothing, and begins anew within seconds', () => {
  const { network, alice, bob } = espConnected()
  const again = reborn(bob, alice)
  const before = network.sent.length
  assert.ok(alice.send(bob, 1) > 0)
  network.run(100)
  const answer = network.sent.slice(before).find(({ from }) => from.port === bob.address.port)
  assert.ok(answer && answer.bytes.length <= network.sent[before]!.bytes.length, 'no longer than what it answers')
  network.run(6_000)
  assert.ok(alice.send(bob, 2) > 0)
  network.run(100)
  assert.equal(again.received.length, 1)
})

test('who was no peer where it speaks from meets silence', () => {
  const { network, alice, bob } = espConnected()
  reborn(bob)
  const before = network.sent.length
  assert.ok(alice.send(bob, 1) > 0)
  network.run(100)
  assert.ok(network.sent.slice(before).every(({ from }) => from.port !== bob.address.port))
})

test('a restarted end that knows where its peers were announces its loss; they are back before they have anything to say', () => {
  const { network, alice, bob } = espConnected()
  const again = reborn(bob)
  again.endpoint.announceLoss(alice.address)
  network.run(6_000)
  assert.equal(again.to(alice)?.state, 'established')
})

test('A-28 P-29 anybody may say so: the association stays, and is asked for a sign of life once in ten seconds at most', () => {
  const { network, alice, bob } = espConnected()
  const session = alice.to(bob).session
  const before = network.sent.length
  for (let i = 0; i < 1_000; i++) {
    const said = i % 2 === 0 ? announcedLoss(nativeSuite) : unknownChild(nativeSuite, session!.inboundSpi)
    const datagram = new Uint8Array(said.length + 4)
    datagram.set(said, 4)
    alice.receive(datagram, i % 3 === 0 ? bob.address : { address: '192.0.2.66', port: 4500 })
    network.run(5)
  }
  assert.equal(alice.to(bob).session, session)
  assert.equal(alice.count('lapsed'), 0)
  assert.ok(network.sent.length - before <= 4, `${network.sent.length - before} datagrams`)
})

test('its words are IKE messages of a bounded length, and nothing else passes for one', () => {
  for (const said of [announcedLoss(nativeSuite), unknownChild(nativeSuite, 0x8000_0001)]) {
    assert.ok(isUnknownSa(said))
    assert.ok(said.length + 4 <= UNKNOWN_SA_LENGTH)
    assert.equal(decodeIkeMessage(said).header.length, said.length)
    for (let cut = 0; cut < 36; cut++) assert.equal(isUnknownSa(said.subarray(0, cut)), false)
  }
})
