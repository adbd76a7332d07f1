import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { A, B, type Delivery, type Node, pair, type VirtualNetwork } from './virtual-link.ts'

const INITIATION = 1
const RESPONSE = 2
const DATA = 4
const elsewhere: Endpoint = { address: '203.0.113.66', port: 6666 }

/** Alice answers Bob, who has begun anew and knows no session; both had one `idleMs` ago, which ends after 180 s. */
function restarted(seed: number, { firstContact = true, idleMs = 1_000 } = {}) {
  const { network, alice, bob } = pair(seed)
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob, { firstContact })
  if (!firstContact) alice.send(bob)
  assert.ok(network.run(1_000, () => bob.to(alice).state === 'established'))
  network.run(idleMs)
  bob.to(alice).reset()
  network.sent.length = 0
  return { network, alice, bob }
}

const call = (bob: Node, alice: Node): void => bob.endpoint.call(bob.to(alice), bob.now)
const isFrom = ({ bytes, from }: Delivery, type: number, place: Endpoint): boolean =>
  bytes[0] === type && from.port === place.port
const asked = (network: VirtualNetwork): Delivery[] => network.sent.filter((delivery) => isFrom(delivery, INITIATION, A))
const lose = (network: VirtualNetwork, type: number, place: Endpoint): void => {
  network.filter = (delivery) => !isFrom(delivery, type, place)
}

for (const [idleMs, what] of [
  [1_000, 'while it believes in a session'],
  [200_000, 'without a session'],
] as const)
  test(`who always wants the association and answers in vain, ${what}, asks once by itself, 6 s later`, () => {
    const { network, alice, bob } = restarted(1, { idleMs })
    lose(network, RESPONSE, A)
    call(bob, alice)
    network.run(5_900)
    assert.equal(network.sent.filter((delivery) => isFrom(delivery, RESPONSE, A)).length, 1)
    assert.equal(asked(network).length, 0)
    assert.equal(alice.endpoint.deadline()?.why, 'handshake, since nobody confirms what we answered')
    assert.ok(network.run(300, () => bob.to(alice).state === 'established'))
    assert.equal(alice.to(bob).session?.local, bob.to(alice).session?.remote)
    network.run(100_000)
    assert.equal(asked(network).length, 1)
  })

test('a session whose first packet was lost on its way to us is asked for as well, one that is confirmed is not', () => {
  for (const [lost, questions] of [
    [DATA, 1],
    [undefined, 0],
  ] as const) {
    const { network, alice, bob } = restarted(2)
    if (lost) lose(network, lost, B)
    call(bob, alice)
    network.run(60_000)
    assert.equal(asked(network).length, questions)
    assert.equal(alice.to(bob).session?.initiator, questions > 0)
  }
})

test('who does not always want the association asks for nothing', () => {
  const { network, alice, bob } = restarted(3, { firstContact: false })
  lose(network, RESPONSE, A)
  call(bob, alice)
  network.run(60_000)
  assert.equal(asked(network).length, 0)
})

test('a peer that asks again is answered again, and asked only 6 s after the last answer', () => {
  const { network, alice, bob } = restarted(4)
  lose(network, RESPONSE, A)
  for (let i = 0; i < 3; i++) {
    call(bob, alice)
    network.run(5_000)
  }
  assert.equal(asked(network).length, 0)
  network.run(1_100)
  assert.equal(asked(network).length, 1)
})

test('an answer to a question of our own, or a reset, ends the wait', () => {
  for (const [end, questions] of [
    [(alice: Node, bob: Node) => alice.endpoint.initiate(alice.to(bob), alice.now), 1],
    [(alice: Node, bob: Node) => alice.to(bob).reset(), 0],
  ] as const) {
    const { network, alice, bob } = restarted(5)
    lose(network, RESPONSE, A)
    call(bob, alice)
    network.run(2_000)
    end(alice, bob)
    network.run(60_000)
    assert.equal(asked(network).length, questions)
  }
})

test('A-13 an initiation that was relayed from elsewhere leads to no question there', () => {
  const { network, alice, bob } = restarted(6)
  lose(network, INITIATION, B)
  call(bob, alice)
  const [initiation] = network.sent
  network.inject({ bytes: initiation!.bytes, at: instant(network.now + 10), from: elsewhere, to: A })
  network.run(20_000)
  const toElsewhere = network.sent.filter(({ to }) => to.port === elsewhere.port)
  assert.deepEqual(
    toElsewhere.map(({ bytes }) => bytes[0]),
    [RESPONSE],
  )
  assert.deepEqual(
    asked(network).map(({ to }) => to),
    [B],
  )
})
