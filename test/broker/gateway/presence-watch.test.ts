import assert from 'node:assert/strict'
import test from 'node:test'
import { PresenceWatch } from '#broker/gateway/presence-watch.ts'
import type { Presence } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { instant, wallTime } from '#shared/time/instant.ts'

const start = Date.UTC(2026, 10, 22)
const pi = { id: 7, name: 'pi' } as Principal

/** A watch in a time that is moved by hand; `answers`: whether the device does. */
function setUp(presence: Presence) {
  const world = { ms: 0, answers: true, probes: 0, presence, silentAt: undefined as number | undefined }
  const due: { at: number; run: () => void }[] = []
  const watch = new PresenceWatch({
    clock: { now: () => instant(world.ms), wall: () => wallTime(start + world.ms) },
    timers: {
      setTimer(span, run) {
        const entry = { at: world.ms + span, run }
        due.push(entry)
        return { clear: () => void (due.includes(entry) && due.splice(due.indexOf(entry), 1)) }
      },
    },
    presence: () => world.presence,
    async probe(_principal, timeoutMs) {
      world.probes++
      if (world.answers) {
        world.presence = { ...world.presence, lastAuthentic: start + world.ms }
        return true
      }
      await new Promise<void>((done) => due.push({ at: world.ms + timeoutMs, run: done }))
      return false
    },
    unanswered() {
      world.silentAt = world.ms
      world.presence = { ...world.presence, state: 'down' }
    },
  })
  const run = async (until: number) => {
    for (;;) {
      await new Promise((done) => setImmediate(done))
      const next = due.sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > until) break
      due.shift()
      world.ms = Math.max(world.ms, next.at)
      next.run()
    }
    world.ms = until
  }
  return { world, watch, run, due }
}

test('P-05 what somebody looks at is proven: one that is gone is down within 15 s of the first look, though hints go on', async () => {
  const { world, watch, run } = setUp({ state: 'up', lastAuthentic: start - 3_600_000, lastHint: start })
  world.answers = false
  watch.watch([pi])
  await run(15_000)
  assert.ok(world.silentAt !== undefined && world.silentAt <= 15_000, `${world.silentAt} ms`)
  assert.equal(world.probes, 2, 'a lost packet is no silence')
})

test('while somebody looks, no evidence is older than 15 s; nobody looks, nobody is asked', async () => {
  const { world, watch, run, due } = setUp({ state: 'up', lastAuthentic: start - 3_600_000 })
  for (let at = 0; at <= 60_000; at += 5_000) {
    watch.watch([pi])
    await run(at + 5_000)
    assert.ok(start + world.ms - (world.presence.lastAuthentic ?? 0) <= 15_000, `${at}`)
  }
  await run(120_000)
  const asked = world.probes
  assert.equal(due.length, 0, 'no timer is left')
  await run(600_000)
  assert.equal(world.probes, asked)
})

test('neither who is down nor who sleeps is asked', async () => {
  for (const presence of [
    { state: 'down' as const, lastAuthentic: start - 1e6 },
    { state: 'never' as const },
    { state: 'up' as const, lastAuthentic: start - 600_000, paceSeconds: 900 },
  ]) {
    const { world, watch, run } = setUp(presence)
    watch.watch([pi])
    await run(60_000)
    assert.equal(world.probes, 0)
  }
})

test('one that sleeps is asked as soon as its poll is heard, while its mapping lives, and is not called silent', async () => {
  const { world, watch, run } = setUp({ state: 'up', lastAuthentic: start - 600_000, paceSeconds: 900 })
  watch.watch([pi])
  await run(10_000)
  assert.equal(world.probes, 0)
  world.presence = { ...world.presence, lastHint: start + 11_000 }
  world.ms = 11_000
  watch.watch([pi])
  await run(17_000)
  assert.equal(world.probes, 1)
  assert.ok((world.presence.lastAuthentic ?? 0) > start)
})
