import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { agentAt, pair, type VirtualAgent, type VirtualBroker, type World } from '#test/agent/core/virtual-world.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const INNER_PORT = 9_000

/** UDP both ways through the tunnel, counted by the virtual time at which it arrives. */
function conversation({ world, agent, broker }: { world: World; agent: VirtualAgent; broker: VirtualBroker }) {
  const heard = { agent: [] as number[], broker: [] as number[] }
  const near = agent.core.netstack.bindUdp({ port: INNER_PORT }, () => void heard.agent.push(world.now()))
  const far = broker.netstack.bindUdp({ port: INNER_PORT }, () => void heard.broker.push(world.now()))
  const payload = new Uint8Array(64)
  return {
    heard,
    fromAgent: () => void near.send(payload, 'fd00:adad::1', INNER_PORT),
    fromBroker: () => void far.send(payload, 'fd00:adad::99', INNER_PORT),
    both: () => {
      near.send(payload, 'fd00:adad::1', INNER_PORT)
      far.send(payload, 'fd00:adad::99', INNER_PORT)
    },
  }
}

/** A pair that has been up for a while, with a delay and a phase of its own. */
function settled(seed: number) {
  const dice = seeded(seed * 7 + 1)
  const all = pair(seed)
  all.world.delayMs = 5 + dice() * 75
  assert.ok(all.world.run(10_000, () => all.agent.isUp))
  all.world.run(2_000 + dice() * 60_000)
  return { ...all, dice }
}

/** Runs `ms`, calling `each` every `every` ms, until `until`. */
function during(world: World, ms: number, every: number, each: () => void, until: () => boolean = () => false): boolean {
  const end = world.now() + ms
  while (world.now() < end && !until()) {
    each()
    world.run(every, until)
  }
  return until()
}

function tell(t: TestContext, what: string, samples: number[]): { p50: number; p99: number; max: number } {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
  const figures = { p50: at(0.5), p99: at(0.99), max: sorted.at(-1)! }
  const text = Object.entries(figures).map(([name, ms]) => `${name} ${Math.round(ms)} ms`)
  t.diagnostic(`${what}: n ${samples.length}, ${text.join(', ')}, seeds 1..${samples.length}`)
  return figures
}

const elsewhere = (dice: () => number) => ({ address: agentAt.address, port: 50_000 + Math.floor(dice() * 10_000) })

test('P-06 F-10 NAT state lost, agent sending: the first packet repairs it', (t) => {
  const times: number[] = []
  for (let seed = 1; seed <= 200; seed++) {
    const all = settled(seed)
    const { world, agent, dice } = all
    const { both, heard } = conversation(all)
    during(world, 3_000, 200, both)
    world.move(agent, elsewhere(dice))
    heard.agent.length = 0
    const from = world.now()
    assert.ok(
      during(world, 20_000, 200, both, () => heard.agent.length > 0),
      `seed ${seed}`,
    )
    times.push(heard.agent[0]! - from)
    assert.equal(agent.count('connecting'), 1)
  }
  assert.ok(tell(t, 'agent sending', times).p99 <= 500)
})

test('P-06 F-10 NAT state lost while only the broker sends: the silence of a flow is noticed', (t) => {
  const times: number[] = []
  for (let seed = 1; seed <= 200; seed++) {
    const all = settled(seed)
    const { world, agent, dice } = all
    const { fromBroker, heard } = conversation(all)
    during(world, 3_000 + dice() * 12_000, 200, fromBroker)
    world.move(agent, elsewhere(dice))
    heard.agent.length = 0
    const from = world.now()
    assert.ok(
      during(world, 200_000, 200, fromBroker, () => heard.agent.length > 0),
      `seed ${seed}`,
    )
    times.push(heard.agent[0]! - from)
    assert.equal(agent.count('connecting'), 1)
  }
  const { p50, p99 } = tell(t, 'broker sending', times)
  assert.ok(p50 <= 3_000 && p99 <= 8_000)
})

test('P-06 NAT state lost while nobody speaks: found within six keepalives', (t) => {
  const times: number[] = []
  for (let seed = 1; seed <= 200; seed++) {
    const { world, agent, broker, dice } = settled(seed)
    world.move(agent, elsewhere(dice))
    const from = world.now()
    assert.ok(
      world.run(400_000, () => broker.association(agent)?.endpoint?.port === agent.at.port),
      `seed ${seed}`,
    )
    times.push(world.now() - from)
    assert.equal(agent.count('connecting'), 1)
  }
  assert.ok(tell(t, 'idle', times).max <= 6 * 27_500 + 1_000)
})

test('P-07 back after a black-out of 13 s: data flows within 2 s, whatever was said before', (t) => {
  const times: number[] = []
  for (let seed = 1; seed <= 100; seed++) {
    const all = settled(seed)
    const { world, agent } = all
    const { fromAgent, both, heard } = conversation(all)
    // A third each: both speak, the agent alone does, nobody has spoken for so long that the session has lapsed.
    const talk = [both, fromAgent, () => {}][seed % 3]!
    during(world, seed % 3 === 2 ? 400_000 : 3_000, 200, talk)
    world.filter = () => false
    const speak = seed % 3 === 1 ? fromAgent : both
    during(world, 13_000, 200, speak)
    world.filter = () => true
    heard.agent.length = 0
    heard.broker.length = 0
    const from = world.now()
    const isBack = (): boolean => heard.broker.length > 0 && (seed % 3 === 1 || heard.agent.length > 0)
    assert.ok(during(world, 30_000, 200, speak, isBack), `seed ${seed}`)
    times.push(world.now() - from)
    assert.ok(agent.isUp)
  }
  assert.ok(tell(t, 'after a black-out', times).max <= 2_000)
})

test('P-08 first contact under 30 % loss each way', (t) => {
  const times: number[] = []
  for (let seed = 1; seed <= 1_000; seed++) {
    const { world, agent } = pair(seed)
    world.loss = 0.3
    const from = world.now()
    assert.ok(
      world.run(60_000, () => agent.isUp),
      `seed ${seed}`,
    )
    times.push(world.now() - from)
    agent.core.stop()
  }
  const { p50, p99, max } = tell(t, 'handshake', times)
  assert.ok(p50 <= 600 && p99 <= 6_000 && max <= 15_000)
})

test('P-09 F-16 a round trip of 2 s makes one session and no flap in ten minutes', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const all = pair(seed)
    const { world, agent } = all
    world.delayMs = 1_000
    assert.ok(world.run(10_000, () => agent.isUp))
    const { both, heard } = conversation(all)
    agent.core.watch(true)
    during(world, 600_000, 1_000, both)
    assert.equal(agent.count('up'), 1)
    assert.equal(agent.count('connecting'), 1)
    assert.deepEqual(agent.events.filter(({ kind }) => kind === 'health').length, 1, 'up, once')
    assert.equal(agent.rebinds, 0)
    assert.ok(heard.agent.length > 590 && heard.broker.length > 590)
  }
})

test('P-09 idle over a round trip of 2 s, one handshake lasts an hour: its questions are answered', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { world, agent } = pair(seed)
    world.delayMs = 1_000
    assert.ok(world.run(10_000, () => agent.isUp))
    world.run(3_600_000)
    assert.equal(agent.core.association?.counters.handshakes, 1)
    assert.equal(agent.count('connecting'), 1)
  }
})

test('F-17 at 5 % loss each way nothing is declared that is not so, for ten watched hours', (t) => {
  let verdicts = 0
  for (let seed = 1; seed <= 20; seed++) {
    const all = pair(seed)
    const { world, agent } = all
    assert.ok(world.run(10_000, () => agent.isUp))
    const { both } = conversation(all)
    world.loss = 0.05
    agent.core.watch(true)
    agent.events.length = 0
    during(world, 1_800_000, 1_000, both)
    verdicts += agent.events.filter((event) => event.kind === 'health' && event.health.state === 'down').length
    assert.equal(agent.count('connecting'), 0)
    assert.equal(agent.rebinds, 0)
  }
  t.diagnostic(`ten hours: ${verdicts} false verdicts, seeds 1..20`)
  assert.equal(verdicts, 0)
})
