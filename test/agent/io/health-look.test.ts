import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HealthLook } from '#agent/io/health-look.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { after, type Instant, instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { pair } from '#test/agent/core/virtual-world.ts'

/** Timers that run the world on. */
function looking(all: ReturnType<typeof pair>) {
  const { world, agent } = all
  const waiting = new Map<object, { at: Instant; call(): void }>()
  const timers: Timers = {
    setTimer(delay, call) {
      const timer = { clear: () => void waiting.delete(timer) }
      waiting.set(timer, { at: after(world.now(), delay), call })
      return timer
    },
  }
  const run = async (ms: number): Promise<void> => {
    const end = world.now() + ms
    while (world.now() < end) {
      world.run(10)
      for (const [timer, { at, call }] of [...waiting])
        if (world.now() >= at) {
          waiting.delete(timer)
          call()
        }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const look = new HealthLook({ core: agent.core, clock: { now: () => world.now(), wall: () => world.wall() }, timers })
  return { run, look }
}

test('F-30 whoever looks at an idle path is shown what has just been seen, and probing ends after he has gone', async () => {
  const all = pair(3)
  const { world, agent } = all
  const { run, look } = looking(all)
  assert.ok(world.run(2_000, () => agent.isUp))
  await run(100_000)
  const age = (): number => world.now() - (agent.core.health.evidenceAt ?? instant(0))
  assert.ok(age() > seconds(15))
  const seen = look.look().then(age)
  await run(500)
  assert.ok((await seen) <= milliseconds(500), `${await seen} ms old`)
  await run(20_000)
  agent.sent.length = 0
  await run(100_000)
  assert.ok(!agent.sent.some(({ bytes }) => bytes[0] === 4 && bytes.length >= 32), 'no probe')
})

test('F-30 a path that fails while somebody looks is said to have failed within 15 s', async () => {
  const all = pair(4)
  const { world, agent } = all
  const { run, look } = looking(all)
  assert.ok(world.run(2_000, () => agent.isUp))
  await run(60_000)
  world.filter = () => false
  const from = world.now()
  while (agent.core.health.state === 'up' && world.now() - from < 60_000) {
    void look.look()
    await run(2_000)
  }
  assert.ok(world.now() - from <= 15_000, `${world.now() - from} ms`)
  look.close()
})
