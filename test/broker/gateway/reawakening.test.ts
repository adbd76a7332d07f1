import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reawakening } from '#broker/gateway/reawakening.ts'
import type { Timers } from '#shared/platform/timers.ts'

test('10,000 devices are called in their order at 500 a second', () => {
  let now = 0
  const waiting: { at: number; callback: () => void }[] = []
  const timers: Timers = {
    setTimer(delay, callback) {
      waiting.push({ at: now + delay, callback })
      return { clear: () => undefined }
    },
  }
  const called: { item: number; at: number }[] = []
  const items = Array.from({ length: 10_000 }, (_, i) => i)
  new Reawakening(items, timers, (item) => called.push({ item, at: now }))
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    now = next.at
    next.callback()
  }
  assert.deepEqual(
    called.map(({ item }) => item),
    items,
  )
  for (let second = 0; second < 20; second++) {
    const within = called.filter(({ at }) => at > second * 1_000 && at <= (second + 1) * 1_000)
    assert.equal(within.length, 500)
  }
})
