import assert from 'node:assert/strict'
import test from 'node:test'
import { StunSquare } from '#broker/gateway/stun-square.ts'
import { BehaviourDiscovery, type NatBehaviour as Found } from '#shared/nat/behaviour.ts'
import type { Dependence } from '#shared/nat/behaviour-verdict.ts'
import type { StunSend } from '#shared/nat/stun-round.ts'
import { instant } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { replyToBinding } from '#shared/wire/stun-answer.ts'
import { type NatBehaviour, NatBox, natKinds } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { seededSuite } from '../tunnel/virtual-link.ts'

const primary = { address: '198.51.100.2', port: 4500 }
const alternate = { address: '198.51.100.3', port: 4501 }
const inner = { first: { address: '192.168.7.2', port: 40_001 }, second: { address: '192.168.7.2', port: 40_002 } }

interface World {
  /** Undefined: none. */
  nat?: NatBehaviour
  /** Corners that have a socket; the first alone: a server without RFC 5780. */
  corners?: readonly number[]
  alternate?: Endpoint
  servers?: readonly Endpoint[]
  /** Part of the datagrams that is lost, each way. */
  loss?: number
  seed?: number
  /** Outer addresses. */
  pool?: readonly string[]
  knowsItself?: boolean
}

/** Runs the discovery against a server of RFC 5780 behind a NAT; every way takes 10 ms. */
function discover(world: World): { found: Found; took: number } {
  const random = new SeededRandom(world.seed ?? 1)
  const nat = world.nat && new NatBox(world.nat, world.pool ?? ['203.0.113.2'], (bound) => random.below(bound))
  const square = new StunSquare(primary, world.alternate ?? alternate)
  const corners = world.corners ?? [0, 1, 2, 3]
  for (const corner of corners) if (corner > 0) square.setSocket(corner as 1, undefined as never)
  const places = ([0, 1, 2, 3] as const).map((corner) => square.endpoint(corner))
  let now = 0
  const flying: { at: number; arrive: () => void }[] = []
  const carry = (arrive: () => void): void => {
    if (random.below(1_000) >= (world.loss ?? 0) * 1_000) flying.push({ at: now + 10, arrive })
  }
  const local = world.knowsItself === false ? { first: { port: 40_001 }, second: { port: 40_002 } } : inner
  const machine = new BehaviourDiscovery(
    { suite: seededSuite(world.seed ?? 1), servers: world.servers ?? [primary], local },
    instant(0),
  )

  const arriveInside = (to: Endpoint, from: Endpoint, datagram: Uint8Array): void => {
    const inside = nat ? nat.inbound(to, from, instant(now)) : to
    const by = (['first', 'second'] as const).find((name) => sameEndpoint(inner[name], inside))
    if (by) machine.handle({ kind: 'datagram', by, datagram, from }, instant(now))
  }
  const send = ({ by, to, datagram }: StunSend): void => {
    const from = nat ? nat.outbound(inner[by], to, instant(now)) : inner[by]
    if (from === undefined) return
    carry(() => {
      const corner = places.findIndex((place, i) => corners.includes(i) && sameEndpoint(place, to))
      if (corner < 0) arriveInside(to, from, datagram)
      else {
        const reply = replyToBinding(datagram, from, corners.length > 1 ? square.seat(corner as 0) : undefined)
        if (reply === undefined) return
        const source = places[corner ^ ((reply.change.address ? 2 : 0) | (reply.change.port ? 1 : 0))]!
        carry(() => arriveInside(reply.to, source, reply.datagram))
      }
    })
  }
  for (;;) {
    for (let output = machine.poll(); output !== undefined; output = machine.poll()) {
      if (output.kind === 'done') return { found: output.behaviour, took: now }
      send(output)
    }
    flying.sort((a, b) => a.at - b.at)
    const due = machine.deadline()!.at
    if (flying.length > 0 && flying[0]!.at <= due) {
      const { at, arrive } = flying.shift()!
      now = at
      arrive()
    } else {
      now = due
      machine.handle({ kind: 'time' }, instant(now))
    }
  }
}

const kinds: readonly Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent']
const base = { ...natKinds['full-cone'], portPreservation: false }

test('each mapping with each filter of RFC 4787 is found, and whether it hairpins, keeps ports and pairs addresses', () => {
  for (const mapping of kinds) {
    for (const filtering of kinds) {
      for (const isSo of [true, false]) {
        const nat = { ...base, mapping, filtering, hairpinning: isSo, portPreservation: isSo }
        // A NAT that keeps ports has one mapping for each inner port: others cannot be told apart from it, nor be kept.
        if (isSo && mapping !== 'endpoint-independent') continue
        const { found, took } = discover({ nat })
        const what = `${mapping} ${filtering} ${isSo}`
        assert.deepEqual(found.mapping, [mapping], what)
        assert.deepEqual(found.filtering, [filtering], what)
        assert.equal(found.portPreservation, isSo, what)
        assert.equal(found.translated, true)
        assert.equal(found.pairedPooling, true)
        const isHidden = mapping !== 'endpoint-independent' && filtering !== 'endpoint-independent'
        assert.equal(found.hairpinning, isHidden ? undefined : isSo, what)
        assert.equal(found.unlearnt.length, isHidden ? 1 : 0)
        assert.ok(took <= 3_700, `${took} ms`)
      }
    }
  }
})

test('without a NAT there is no mapping; a filter would be seen all the same', () => {
  const { found, took } = discover({})
  assert.deepEqual(found, {
    reflexive: inner.first,
    translated: false,
    mapping: [],
    filtering: ['endpoint-independent'],
    portPreservation: undefined,
    pairedPooling: true,
    hairpinning: undefined,
    unlearnt: [],
  })
  assert.ok(took < 100, 'nothing is waited for')
})

test('where we do not know our own address, whether it is translated is left open', () => {
  const { found } = discover({ knowsItself: false, nat: natKinds['port-restricted'] })
  assert.equal(found.translated, undefined)
  assert.deepEqual(found.mapping, ['endpoint-independent'])
})

test('one address with two ports: what fits is named, and why no more is known', () => {
  const one = { alternate: { ...primary, port: 4501 }, corners: [0, 1], servers: [primary, { ...primary, port: 4501 }] }
  const easy = discover({ ...one, nat: natKinds['port-restricted'] }).found
  assert.deepEqual(easy.mapping, ['endpoint-independent', 'address-dependent'])
  assert.deepEqual(easy.filtering, ['address-and-port-dependent'])
  assert.equal(easy.unlearnt.length, 1)
  assert.match(easy.unlearnt[0]!, /same one/)
  const hard = discover({ ...one, nat: natKinds.symmetric }).found
  assert.deepEqual(hard.mapping, ['address-and-port-dependent'])
  const open = discover({ ...one, nat: natKinds.restricted }).found
  assert.deepEqual(open.filtering, ['endpoint-independent', 'address-dependent'])
})

test('a second broker: its address is named, the mapping is learnt there, the filter is not', () => {
  const { found } = discover({ corners: [0, 1], nat: natKinds.symmetric, servers: [primary, { ...alternate, port: 4500 }] })
  assert.deepEqual(found.filtering, ['address-and-port-dependent'], 'its own second port was let in or not')
  const plain = discover({ corners: [0], nat: natKinds.symmetric }).found
  assert.deepEqual(plain.mapping, kinds)
  assert.deepEqual(plain.filtering, kinds)
  assert.equal(plain.unlearnt.length, 3)
})

test('several outer addresses by chance are told; a silent first server is passed over; with none nothing is claimed', () => {
  const nat = { ...base, pooling: 'arbitrary' } as const
  const pool = ['203.0.113.2', '203.0.113.3', '203.0.113.4', '203.0.113.5']
  const pairings = [1, 2, 3, 4, 5, 6].map((seed) => discover({ nat, pool, seed }).found.pairedPooling)
  assert.ok(pairings.includes(false))
  const dead = { address: '192.0.2.9', port: 4500 }
  const { found, took } = discover({ servers: [dead, primary] })
  assert.deepEqual(found.reflexive, inner.first)
  assert.ok(took >= 3_600 && took < 3_800)
  const nobody = discover({ servers: [dead] }).found
  assert.equal(nobody.reflexive, undefined)
  assert.deepEqual(nobody.mapping, kinds)
  assert.equal(discover({ servers: [] }).found.reflexive, undefined)
})

test('5 % loss each way: 300 seeds, no wrong mapping, and a filter that is thought stricter than it is in at most one in a hundred', () => {
  let strict = 0
  for (let seed = 1; seed <= 300; seed++) {
    const { found } = discover({ nat: base, loss: 0.05, seed })
    assert.ok(found.mapping.includes('endpoint-independent'), `seed ${seed}`)
    if (!found.filtering.includes('endpoint-independent')) strict++
  }
  assert.ok(strict <= 3, `${strict}`)
})
