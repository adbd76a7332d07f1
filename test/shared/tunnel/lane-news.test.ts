import assert from 'node:assert/strict'
import test from 'node:test'
import type { Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import type { Liveness } from '#shared/tunnel/liveness.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { ALICE, BOB, EspNode, packetBetween } from './esp-link.ts'
import { FakeLane, LanedHost } from './fake-lane.ts'
import { A, B, ipPacket, Node, seeded, seededSuite, VirtualNetwork } from './virtual-link.ts'

/** How late the lane tells, and the jitter of timers that are drawn anew, ms. */
const LATENESS = 200
const JITTER = 333

/** One end of two, seen from outside. */
interface End {
  readonly events: readonly TunnelEvent[]
  readonly received: readonly unknown[]
  association(): Association & { readonly data: { readonly liveness: Liveness } }
}

/** Alice, and Bob, who may have a lane. Both send to each other by `send`. */
interface World {
  readonly network: VirtualNetwork
  readonly host: { besides: number } | undefined
  readonly alice: End
  readonly bob: End
  send(who: 'alice' | 'bob', length: number): void
  move(to: Endpoint): void
}

function noiseWorld(seed: number, lane: FakeLane | undefined): World {
  const network = new VirtualNetwork(seed)
  const a = new Node(network, A, { suite: seededSuite(seed) })
  const b = new Node(network, B, { suite: seededSuite(seed + 1_000), ...(lane && { lane }) })
  const host = lane && new LanedHost<Node, Node>(b, lane)
  b.peer(a, { endpoint: undefined })
  a.peer(b, { firstContact: true })
  network.run(1_000)
  const end = (node: Node, other: Node): End => ({
    events: node.events,
    received: node.received,
    association: (): WireguardAssociation => node.to(other),
  })
  return {
    network,
    host,
    alice: end(a, b),
    bob: end(b, a),
    send: (who, length) => void (who === 'alice' ? a.send(b, ipPacket(length)) : (host ?? b).send(a, ipPacket(length))),
    move: (to) => network.move(a, to),
  }
}

function espWorld(seed: number, lane: FakeLane | undefined): World {
  const network = new VirtualNetwork(seed)
  const a = new EspNode(network, 'alice.example', ALICE)
  const b = new EspNode(network, 'bob.example', BOB, { endpoint: { lane } })
  const host = lane && new LanedHost<EspNode, EspNode>(b, lane)
  a.peer(b, { firstContact: true })
  network.run(1_000)
  const end = (node: EspNode, other: EspNode): End => ({
    events: node.events,
    received: node.received,
    association: (): EspAssociation => node.to(other),
  })
  return {
    network,
    host,
    alice: end(a, b),
    bob: end(b, a),
    send: (who, length) => {
      if (who === 'alice') a.send(b, 0, packetBetween(a.name, b.name, 0, length))
      else if (host) host.send(a, packetBetween(b.name, a.name, 0, length))
      else b.send(a, 0, packetBetween(b.name, a.name, 0, length))
    },
    move: (to) => network.move(a, to),
  }
}

/** Packets both ways in spells and pauses; Alice moves; datagrams of hers come late, from where she no longer is. */
function history(world: World, seed: number, atRest: (step: number) => void): void {
  const dice = seeded(seed)
  const { network } = world
  let kept: Parameters<VirtualNetwork['inject']>[0] | undefined
  for (let step = 0; step < 60; step++) {
    const chance = dice()
    if (chance < 0.08) world.move({ address: `198.18.0.${step}`, port: 2_000 + step })
    else if (chance < 0.16) {
      network.filter = (delivery) => {
        kept ??= delivery
        return false
      }
      world.send('alice', 120)
      network.filter = () => true
    } else if (chance < 0.24 && kept !== undefined) {
      network.inject({ ...kept, at: network.now + 5 })
      kept = undefined
    }
    for (let n = Math.floor(dice() * 12); n > 0; n--) {
      world.send(dice() < 0.5 ? 'alice' : 'bob', 64 + 16 * Math.floor(dice() * 20))
      network.run(Math.floor(dice() * 40))
    }
    network.run(LATENESS + 100 + (dice() < 0.1 ? 4_000 : 0))
    atRest(step)
  }
}

const isNear = (a: Instant | undefined, b: Instant | undefined): boolean =>
  (a === undefined) === (b === undefined) && Math.abs((a ?? 0) - (b ?? 0)) <= LATENESS + JITTER

const kindsOf = (events: readonly TunnelEvent[]): string[] =>
  events.map((event) => (event.kind === 'roamed' ? `roamed to ${event.to.port}` : event.kind))

for (const [suite, make] of [
  ['noise', noiseWorld],
  ['esp', espWorld],
] as const)
  test(`${suite}: what is told in sums, and late, leads to what each packet by itself leads to`, () => {
    for (let seed = 1; seed <= 25; seed++) {
      const plain = make(seed, undefined)
      const lane = new FakeLane()
      lane.lateness = LATENESS
      const laned = make(seed, lane)
      let alike = 0
      let mayDiffer = false
      const states: { counters: object; endpoint: Endpoint | undefined; keepaliveAt?: Instant; silentAt?: Instant }[] = []
      history(plain, seed, () => states.push(stateOf(plain)))
      history(laned, seed, (step) => {
        const [expected, actual] = [states[step]!, stateOf(laned)]
        const where = `seed ${seed}, step ${step}`
        assert.deepEqual(actual.counters, expected.counters, where)
        assert.deepEqual(actual.endpoint, expected.endpoint, where)
        const isLike = isNear(actual.keepaliveAt, expected.keepaliveAt) && isNear(actual.silentAt, expected.silentAt)
        // What the endpoint sends itself counts at once, ahead of what the lane has heard before that: until both agree again.
        mayDiffer = !isLike && (mayDiffer || laned.host!.besides > 0)
        assert.ok(isLike || mayDiffer, `${where}: timers`)
        if (isLike) alike++
        laned.host!.besides = 0
        const route = lane.routes.get(laned.bob.association())
        if (route !== undefined) assert.deepEqual(route.to, actual.endpoint, where)
      })
      assert.ok(alike >= 40, `seed ${seed}: ${alike} of 60`)
      for (const end of ['alice', 'bob'] as const) {
        assert.deepEqual(kindsOf(laned[end].events), kindsOf(plain[end].events), `seed ${seed}`)
        assert.equal(laned[end].received.length, plain[end].received.length)
      }
    }
  })

function stateOf({ bob }: World) {
  const { counters, endpoint, data } = bob.association()
  const { keepaliveAt, silentAt } = data.liveness
  return { counters: { ...counters }, endpoint, ...(keepaliveAt && { keepaliveAt }), ...(silentAt && { silentAt }) }
}
