import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { agentAt, brokerAt, pair, turns, type VirtualAgent, type World } from '#test/agent/core/virtual-world.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

/**
 * Paths that work and look as if they did not: slow links whose queues hold seconds of traffic, so that probes, questions and handshakes
 * wait in line; long round trips; loss; black-outs. Nothing is to be said of them that is not so, and nothing repaired.
 */

const told = ({ events }: VirtualAgent): string[] =>
  events.flatMap((event) => (event.kind === 'health' ? [event.health.state] : []))

interface Line {
  delayMs: number
  bitsPerSecond: number
  queueBytes: number
  bytes: number
  jitterMs?: number
  loss?: number
}

const lines: Record<string, Line> = {
  '64 kbit/s with a queue of half a second': { delayMs: 50, bitsPerSecond: 64_000, queueBytes: 4_000, bytes: 200_000 },
  '64 kbit/s with a queue of 5 s': { delayMs: 20, bitsPerSecond: 64_000, queueBytes: 40_000, bytes: 300_000 },
  '64 kbit/s with a queue of 2 s, beside a round trip of 2 s': {
    ...{ delayMs: 1_000, bitsPerSecond: 64_000, queueBytes: 16_000, bytes: 300_000 },
  },
  '2 Mbit/s with jitter that reorders and 1 % of loss': {
    ...{ delayMs: 50, jitterMs: 50, loss: 0.01, bitsPerSecond: 2_000_000, queueBytes: 60_000, bytes: 5_000_000 },
  },
}

async function copy(t: TestContext, line: Line, direction: 'up' | 'down', seed: number): Promise<void> {
  const { world, agent, broker } = pair(seed)
  const accepted: TcpSocket[] = []
  broker.netstack.listen({ port: 22 }, (socket) => accepted.push(socket.on('error', () => {})))
  Object.assign(world, { delayMs: line.delayMs, jitterMs: line.jitterMs ?? 0, loss: line.loss ?? 0, rate: line })
  assert.ok(world.run(20_000, () => agent.isUp))
  agent.core.watch(seed % 2 === 0)
  const near = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 22 }).on('error', () => {})
  assert.ok(await turns(world, 30_000, () => accepted.length > 0 && !near.connecting))
  const [from, to] = direction === 'up' ? [near, accepted[0]!] : [accepted[0]!, near]
  let received = 0
  to.on('data', (chunk: Uint8Array) => {
    received += chunk.length
  })
  const began = world.now()
  from.end(Buffer.alloc(line.bytes, 7))
  const ideal = (line.bytes * 8_000) / line.bitsPerSecond
  assert.ok(await turns(world, 3 * ideal, () => received === line.bytes), `${received} of ${line.bytes} bytes came`)
  const took = world.now() - began
  world.run(5_000)
  t.diagnostic(`seed ${seed}: ${Math.round(took)} ms, by its rate alone ${Math.round(ideal)} ms`)
  assert.deepEqual(told(agent), ['up'])
  assert.equal(agent.rebinds, 0)
  assert.equal(agent.core.path?.mtu, 1340)
  assert.equal(agent.core.association?.counters.handshakes, 1)
  agent.core.stop()
  broker.netstack.destroy()
}

for (const [name, line] of Object.entries(lines))
  for (const direction of ['up', 'down'] as const)
    test(`F-16 F-30 a copy ${direction} over ${name}: the path is up throughout, in one session`, async (t) => {
      for (let seed = 1; seed <= 2; seed++) await copy(t, line, direction, seed)
    })

/** Large packets both ways, one each `every` ms. */
function large({ agent, broker }: Pick<ReturnType<typeof pair>, 'agent' | 'broker'>): () => void {
  const near = agent.core.netstack.bindUdp({ port: 9 }, () => {})
  const far = broker.netstack.bindUdp({ port: 9 }, () => far.send(new Uint8Array(1_000), 'fd00:adad::99', 9))
  return () => void near.send(new Uint8Array(1_000), 'fd00:adad::1', 9)
}

/** Somebody else sends `load` times what the line carries, for `ms`. */
function crowd(world: World, load: number, ms: number, seed: number, talk: () => void): void {
  const dice = seeded(seed)
  const from = { address: agentAt.address, port: 7 }
  const gap = (1_500 * 8_000) / world.rate!.bitsPerSecond / load
  const end = world.now() + ms
  for (let at: number = world.now(), talkAt = at; at < end; at += gap * (0.5 + dice())) {
    if (at >= talkAt) talk()
    if (at >= talkAt) talkAt += 1_000
    world.run(Math.max(0, at - world.now()))
    world.send(new Uint8Array(1_472), from, { address: brokerAt.address, port: 7 })
  }
}

test('F-30 others fill the line, whose queue keeps full-size packets out more than small ones: hardly ever is that said to be a black hole', (t) => {
  const said: string[] = []
  for (const load of [0.9, 1.05, 1.2])
    for (let seed = 1; seed <= 10; seed++) {
      const all = pair(seed)
      const { world, agent } = all
      assert.ok(world.run(10_000, () => agent.isUp))
      world.rate = { bitsPerSecond: 64_000, queueBytes: 4_000 }
      crowd(world, load, 120_000, seed, large(all))
      said.push(...told(agent).slice(1))
      assert.equal(agent.rebinds, 0)
    }
  const false_ = said.filter((state) => state !== 'up')
  t.diagnostic(`an hour, 30 paths: ${false_.length} false verdicts (${new Set(false_).size} kinds), seeds 1..10`)
  assert.ok(false_.length <= 15)
})

test('F-30 nearly 30 % of loss there and back, large packets, watched for ten minutes: what is lost is learned to be ordinary', (t) => {
  let said = 0
  for (let seed = 1; seed <= 20; seed++) {
    const all = pair(seed)
    const { world, agent } = all
    assert.ok(world.run(10_000, () => agent.isUp))
    world.loss = 0.16
    agent.core.watch(true)
    const talk = large(all)
    for (let i = 0; i < 600; i++) {
      talk()
      world.run(1_000)
    }
    said += told(agent).filter((state) => state !== 'up').length
    assert.equal(agent.rebinds, 0)
  }
  t.diagnostic(`200 minutes: ${said} false verdicts, seeds 1..20`)
  assert.ok(said <= 10)
})

test('F-30 a black-out of any length takes large packets and small ones alike: nothing is said of sizes', () => {
  for (const ms of [300, 600, 1_000, 2_000, 5_000, 13_000])
    for (let seed = 1; seed <= 10; seed++) {
      const all = pair(seed)
      const { world, agent } = all
      assert.ok(world.run(10_000, () => agent.isUp))
      const talk = large(all)
      const talks = (span: number): void => {
        for (let at = 0; at < span; at += 100) {
          talk()
          world.run(100)
        }
      }
      talks(3_000 + seed * 177)
      world.filter = () => false
      talks(ms)
      world.filter = () => true
      talks(10_000)
      assert.ok(!told(agent).includes('small-packets-only'), `${ms} ms, seed ${seed}: ${told(agent)}`)
      assert.equal(agent.core.health.state, 'up')
      if (ms <= 2_000) assert.equal(agent.rebinds, 0)
    }
})

test('F-16 first contact over round trips of 2 s to 8 s: the handshake has measured the path, and nothing is repaired', () => {
  for (const delayMs of [1_000, 2_000, 3_000, 4_000]) {
    const { world, agent } = pair(delayMs)
    world.delayMs = delayMs
    assert.ok(world.run(30_000, () => agent.isUp))
    agent.core.watch(true)
    world.run(60_000)
    assert.deepEqual(told(agent), ['up'])
    assert.equal(agent.rebinds, 0)
    assert.equal(agent.core.association?.counters.handshakes, 1)
  }
})

/** Something small, or large, is said each half second and answered; somebody watches; nobody says anything. */
const uses = ['small', 'large', 'watched', 'idle'] as const

for (const use of uses)
  test(`F-16 a round trip that jumps from 50 ms to 4 s, and back after two minutes, is no trouble: ${use}`, () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, agent, broker } = pair(seed)
      world.delayMs = 25
      assert.ok(world.run(10_000, () => agent.isUp))
      const bytes = new Uint8Array(use === 'large' ? 1_000 : 50)
      const near = agent.core.netstack.bindUdp({ port: 9 }, () => {})
      const far = broker.netstack.bindUdp({ port: 9 }, () => far.send(bytes, 'fd00:adad::99', 9))
      agent.core.watch(use === 'watched')
      const { handshakes } = agent.core.association!.counters
      for (let i = 0; i < 600; i++) {
        if (i === 40 + seed) world.delayMs = 2_000
        if (i === 280 + seed) world.delayMs = 25
        if (use === 'small' || use === 'large') near.send(bytes, 'fd00:adad::1', 9)
        world.run(500 + seed)
      }
      assert.deepEqual(told(agent), ['up'], `seed ${seed}`)
      assert.equal(agent.rebinds, 0)
      // A rekey each two minutes, and nothing for the jump's sake.
      assert.ok(agent.core.association!.counters.handshakes - handshakes <= 3)
      // A path that became fast again is judged as fast as any.
      if (use !== 'idle') assert.ok(agent.core.health.evidenceAt! > world.now() - 15_000)
    }
  })

test('F-16 under a round trip of 4 s a path that dies is found out within 15 s, and one that became fast again as soon as any', () => {
  for (const [slow, bar] of [
    [true, 15_000],
    [false, 8_000],
  ] as const)
    for (let seed = 1; seed <= 10; seed++) {
      const all = pair(seed)
      const { world, agent } = all
      assert.ok(world.run(10_000, () => agent.isUp))
      const talk = large(all)
      const talks = (ms: number): void => {
        for (let at = 0; at < ms; at += 500) {
          talk()
          world.run(500)
        }
      }
      world.delayMs = 2_000
      talks(30_000 + seed * 333)
      if (!slow) world.delayMs = 25
      talks(30_000)
      assert.deepEqual(told(agent), ['up'])
      world.filter = () => false
      const died = world.now()
      while (agent.core.health.state === 'up' && world.now() - died < 60_000) talks(500)
      // What was under way has yet to come.
      assert.ok(
        world.now() - died <= bar + (slow ? 2_000 : 0),
        `${slow ? 'slow' : 'fast'}, seed ${seed}: ${world.now() - died} ms`,
      )
    }
})

test('F-16 a round trip that becomes 3 s at once under traffic is no trouble', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const all = pair(seed)
    const { world, agent } = all
    assert.ok(world.run(10_000, () => agent.isUp))
    const talk = large(all)
    for (let i = 0; i < 200; i++) {
      if (i === 20 + seed) world.delayMs = 1_500
      talk()
      world.run(500)
    }
    assert.deepEqual(told(agent), ['up'])
    assert.equal(agent.rebinds, 0)
  }
})
