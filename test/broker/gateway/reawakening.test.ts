import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reawakening } from '#broker/gateway/reawakening.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { instant } from '#shared/time/instant.ts'

/** Calls 10,000 items with timers that ring `late` ms late. */
function calledWith(late: number): { item: number; at: number }[] {
  let now = 0
  const waiting: { at: number; callback: () => void }[] = []
  const timers: Timers = {
    setTimer(delay, callback) {
      waiting.push({ at: now + delay + late, callback })
      return { clear: () => undefined }
    },
  }
  const called: { item: number; at: number }[] = []
  const items = Array.from({ length: 10_000 }, (_, i) => i)
  new Reawakening(items, { timers, clock: { now: () => instant(now) } }, (item) => called.push({ item, at: now }))
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    now = next.at
    next.callback()
  }
  assert.deepEqual(
    called.map(({ item }) => item),
    items,
  )
  return called
}

test('10,000 devices are called in their order at 500 a second', () => {
  const called = calledWith(0)
  for (let second = 0; second < 20; second++) {
    const within = called.filter(({ at }) => at > second * 1_000 && at <= (second + 1) * 1_000)
    assert.equal(within.length, 500)
  }
})

test('timers of a busy machine do not slow it down, and one that rings very late brings no flood', () => {
  assert.ok(Math.abs(calledWith(37).at(-1)!.at - 20_000) < 100)
  const perRing = new Map<number, number>()
  for (const { at } of calledWith(500)) perRing.set(at, (perRing.get(at) ?? 0) + 1)
  assert.equal(Math.max(...perRing.values()), 50)
})
