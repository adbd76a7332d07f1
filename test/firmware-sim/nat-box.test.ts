import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '#shared/time/instant.ts'
import { NatBox, natKinds } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'

const inside = { address: '192.168.7.2', port: 4500 }
const server = { address: '198.51.100.2', port: 4500 }
const sameHost = { address: '198.51.100.2', port: 9999 }
const stranger = { address: '203.0.113.9', port: 4500 }
const at = instant

function box(kind: keyof typeof natKinds): NatBox {
  const random = new SeededRandom(7)
  return new NatBox(natKinds[kind], '192.0.2.1', (bound) => random.below(bound))
}

const filteringTable = [
  { kind: 'full-cone', fromServer: true, fromSameHost: true, fromStranger: true },
  { kind: 'restricted', fromServer: true, fromSameHost: true, fromStranger: false },
  { kind: 'port-restricted', fromServer: true, fromSameHost: false, fromStranger: false },
  { kind: 'symmetric', fromServer: true, fromSameHost: false, fromStranger: false },
] as const

for (const { kind, fromServer, fromSameHost, fromStranger } of filteringTable) {
  test(`${kind} filters as RFC 4787 §5 says`, () => {
    const nat = box(kind)
    const outside = nat.outbound(inside, server, at(0))!
    assert.equal(nat.inbound(outside, server, at(1)) !== undefined, fromServer)
    assert.equal(nat.inbound(outside, sameHost, at(1)) !== undefined, fromSameHost)
    assert.equal(nat.inbound(outside, stranger, at(1)) !== undefined, fromStranger)
  })
}

test('cones keep one outside port for all remotes; symmetric takes another for each (§4.1)', () => {
  for (const kind of ['full-cone', 'restricted', 'port-restricted'] as const) {
    const nat = box(kind)
    assert.equal(nat.outbound(inside, server, at(0))?.port, nat.outbound(inside, stranger, at(0))?.port, kind)
    assert.equal(nat.mappings, 1)
  }
  const nat = box('symmetric')
  assert.notEqual(nat.outbound(inside, server, at(0))?.port, nat.outbound(inside, stranger, at(0))?.port)
})

test('a mapping dies a timeout after the last outbound packet, and inbound ones do not keep it (REQ-6)', () => {
  const nat = box('port-restricted')
  const outside = nat.outbound(inside, server, at(0))!
  assert.ok(nat.inbound(outside, server, at(119_999)))
  assert.equal(nat.inbound(outside, server, at(120_000)), undefined)
  nat.outbound(inside, server, at(121_000))
  assert.ok(nat.inbound(outside, server, at(200_000)), 'port preserved by the new mapping')
})

test('a box that forgets drops what comes for its old mappings', () => {
  const nat = box('full-cone')
  const outside = nat.outbound(inside, server, at(0))!
  nat.forget()
  assert.equal(nat.inbound(outside, server, at(1)), undefined)
  assert.equal(nat.mappings, 0)
})

test('two inside hosts with the same port get different outside ports', () => {
  const nat = box('port-restricted')
  const one = nat.outbound(inside, server, at(0))!
  const two = nat.outbound({ address: '192.168.7.3', port: 4500 }, server, at(0))!
  assert.notEqual(one.port, two.port)
  assert.equal(nat.inbound(two, server, at(1))?.address, '192.168.7.3')
})
