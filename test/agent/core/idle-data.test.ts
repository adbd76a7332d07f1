import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { intervalEnough } from '#shared/nat/data-budget.ts'
import { LifetimeBracket } from '#shared/nat/lifetime-bracket.ts'
import { octetsAtInterface } from '#shared/nat/outer-octets.ts'
import { type Duration, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { isCarried } from '#shared/wire/endpoint.ts'
import { NatBox, type NatKind, natKinds } from '#sim/nat-box.ts'
import { brokerAt, configFor, otherBrokerAt, VirtualAgent, VirtualBroker, World } from '#test/agent/core/virtual-world.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const hour = 3_600_000
const day = 24 * hour
const month = 30 * day

/** A world whose one agent stands behind a NAT; octets are counted at the agent's interface. */
class NatWorld extends World {
  octets = 0
  readonly nat: NatBox
  readonly #inside: Endpoint
  readonly #public: string

  constructor(seed: number, lifetime: Duration, { inside, address }: { inside: Endpoint; address: string }, kind: NatKind) {
    super(seed)
    const dice = seeded(seed + 99)
    const behaviour = { ...natKinds[kind], mappingTimeout: lifetime, freshTimeout: milliseconds(Math.min(30_000, lifetime)) }
    this.nat = new NatBox(behaviour, address, (bound) => Math.floor(dice() * bound))
    this.#inside = inside
    this.#public = address
  }

  override send(datagram: Uint8Array, from: Endpoint, to: Endpoint): void {
    if (from.address !== this.#inside.address) {
      super.send(datagram, from, to)
      return
    }
    this.octets += octetsAtInterface(datagram.length, to)
    const outside = this.nat.outbound(from, to, this.now())
    if (outside && !isCarried(to)) super.send(datagram, outside, to)
  }

  override deliver(to: Endpoint, bytes: Uint8Array, from: Endpoint): void {
    if (to.address !== this.#public) {
      super.deliver(to, bytes, from)
      return
    }
    const inside = this.nat.inbound(to, from, this.now())
    if (inside === undefined) return
    this.octets += octetsAtInterface(bytes.length, from)
    super.deliver(inside, bytes, from)
  }
}

const v4 = { broker: brokerAt, inside: { address: '192.168.1.2', port: 40_001 }, address: '192.0.2.1' }
const v6 = { broker: otherBrokerAt, inside: { address: 'fd12::2', port: 40_001 }, address: '2001:db8:1::1' }

/** An agent that is up behind a NAT of this lifetime, with the interval that the learner finds there. */
function behindNat(lifetime: Duration, place: typeof v4, seed = 1, kind: NatKind = 'symmetric') {
  const world = new NatWorld(seed, lifetime, place, kind)
  const broker = new VirtualBroker(world, place.broker)
  const agent = new VirtualAgent(world, place.inside, seed + 5)
  broker.known.set(toHex(agent.key.publicKey), undefined)
  agent.core.configure(configFor(broker, { broker: { ...configFor(broker).broker, endpoints: [] } }), [place.broker])
  assert.ok(world.run(5_000, () => agent.isUp))
  world.run(20_000)
  const bracket = new LifetimeBracket(intervalEnough('normal', undefined, 'v4'))
  for (let ages = bracket.next(9); ages.length > 0; ages = bracket.next(9)) {
    for (const age of ages) {
      // A round trip of 40 ms has passed before the question comes in.
      if (age + 80 < lifetime) bracket.outlived(age)
      else bracket.perished(age, milliseconds(age + 100))
    }
  }
  agent.core.setKeepaliveInterval(bracket.interval)
  agent.sent.length = 0
  return { world, broker, agent, interval: bracket.interval! }
}

for (const [name, lifetime, place, most] of [
  ['IPv4, NAT of 120 s', seconds(120), v4, 1.1],
  ['IPv6, NAT of 120 s', seconds(120), v6, 1.8],
  ['IPv4, NAT of 30 s', seconds(30), v4, 3.8],
] as const) {
  test(`an idle month costs at most ${most} MB at the interface: ${name}`, (t) => {
    const { world, agent, interval } = behindNat(lifetime, place)
    world.octets = 0
    for (let at = 0; at < month; at += day) {
      world.run(day)
      agent.sent.length = 0
    }
    const megabytes = world.octets / 1e6
    t.diagnostic(`${megabytes.toFixed(3)} MB at an interval of ${(interval / 1000).toFixed(1)} s`)
    assert.ok(megabytes <= most && megabytes > most / 2, `${megabytes} MB`)
    assert.equal(agent.count('up'), 1)
    assert.equal(agent.count('connecting'), 1, 'at the start')
    assert.equal(agent.count('binding-lost'), 0)
  })
}

test('on demand a month costs a third of a megabyte where the NAT keeps our port, and four times that where each poll needs a handshake', (t) => {
  for (const [kind, most] of [
    ['port-restricted', 0.36],
    ['symmetric', 1.4],
  ] as const) {
    const { world, agent } = behindNat(seconds(120), v4, 1, kind)
    agent.core.setDataMode('on-demand', minutes(15))
    world.octets = 0
    for (let at = 0; at < month; at += day) {
      world.run(day)
      agent.sent.length = 0
    }
    t.diagnostic(`${(world.octets / 1e6).toFixed(3)} MB behind a ${kind} NAT`)
    assert.ok(world.octets / 1e6 < most, `${world.octets / 1e6} MB`)
  }
})

for (const [lifetime, gap] of [
  [30, 25],
  [60, 50],
  [120, 108.9],
  [300, 108.9],
] as const) {
  test(`P-04 a day behind a NAT of ${lifetime} s: every call comes in, and keepalives are ${gap} s apart at the least`, () => {
    const { world, broker, agent } = behindNat(seconds(lifetime), v4, lifetime)
    const dice = seeded(lifetime)
    let [calls, answered] = [0, 0]
    let last: number | undefined
    let least = Number.POSITIVE_INFINITY
    for (let at = 0; at < day; ) {
      const pause = 600_000 + Math.floor(dice() * 600_000)
      agent.sent.length = 0
      last = undefined
      world.run(pause)
      at += pause
      for (const { at: sentAt, bytes } of agent.sent) {
        if (bytes.length === 1 && last !== undefined) least = Math.min(least, sentAt - last)
        last = sentAt
      }
      const association = broker.association(agent)
      assert.ok(association)
      const asked = world.now()
      broker.endpoint.call(association, asked)
      calls++
      if (world.run(2_000, () => (association.lastAuthentic ?? 0) > asked)) answered++
      world.run(30_000)
    }
    assert.equal(answered, calls, `${answered} of ${calls}`)
    assert.ok(calls > 80)
    assert.ok(least >= gap * 1000, `${least} ms`)
  })
}

test('P-05 a NAT that forgets everything is noticed within six keepalives, and its new mapping is aged: it holds the learned interval', () => {
  const { world, broker, agent, interval } = behindNat(seconds(120), v4, 7)
  for (let round = 1; round <= 5; round++) {
    world.run(hour)
    world.nat.forget()
    const from = world.now()
    assert.ok(
      world.run(6 * 112_000, () => agent.count('binding-lost') === round),
      'noticed',
    )
    assert.ok(world.now() - from <= 6 * 1.01 * interval + 5_000)
    // As whoever has learned anew does.
    agent.core.setKeepaliveInterval(interval)
    world.run(hour / 4)
    const association = broker.association(agent)!
    const asked = world.now()
    broker.endpoint.call(association, asked)
    assert.ok(
      world.run(2_000, () => (association.lastAuthentic ?? 0) > asked),
      'a call comes in',
    )
    agent.sent.length = 0
    world.run(hour)
    assert.equal(agent.count('binding-lost'), round, 'not lost again')
  }
})
