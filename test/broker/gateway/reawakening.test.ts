import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reawakening } from '#broker/gateway/reawakening.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { instant } from '#shared/time/instant.ts'

interface Call {
  item: number
  at: number
}

/** Calls 10,000 items with timers that ring `late` ms late; `answers` says which need no further call. */
function calledWith(late: number, answers: (item: number, call: number) => boolean): Call[] {
  let now = 0
  const waiting: { at: number; callback: () => void }[] = []
  const timers: Timers = {
    setTimer(delay, callback) {
      waiting.push({ at: now + delay + late, callback })
      return { clear: () => undefined }
    },
  }
  const called: Call[] = []
  const calls = new Map<number, number>()
  const items = Array.from({ length: 10_000 }, (_, i) => i)
  new Reawakening(items, { timers, clock: { now: () => instant(now) } }, (item) => {
    const before = calls.get(item) ?? 0
    if (before > 0 && answers(item, before)) return false
    calls.set(item, before + 1)
    called.push({ item, at: now })
    return true
  })
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    now = next.at
    next.callback()
  }
  return called
}

test('10,000 devices are called in their order at 500 a second, and once if they answer', () => {
  const called = calledWith(0, () => true)
  assert.deepEqual(
    called.map(({ item }) => item),
    Array.from({ length: 10_000 }, (_, i) => i),
  )
  for (let second = 0; second < 20; second++) {
    const within = called.filter(({ at }) => at > second * 1_000 && at <= (second + 1) * 1_000)
    assert.equal(within.length, 500)
  }
})

test('who does not answer is called twice more, at the same pace', () => {
  const called = calledWith(0, (item, call) => item % 10 !== 0 || (item % 20 === 0 && call === 2))
  assert.equal(called.length, 10_000 + 1_000 + 500)
  assert.deepEqual(
    called.filter(({ item }) => item === 10 || item === 20).map(({ item }) => item),
    [10, 20, 10, 20, 10],
  )
  const perSecond = new Map<number, number>()
  for (const { at } of called) perSecond.set(Math.ceil(at / 1_000), (perSecond.get(Math.ceil(at / 1_000)) ?? 0) + 1)
  assert.ok(Math.max(...perSecond.values()) <= 510)
})

test('timers that ring a little late do not slow it down, and one that rings very late brings no flood', () => {
  assert.ok(Math.abs(calledWith(7, () => true).at(-1)!.at - 20_000) < 100)
  const perRing = new Map<number, number>()
  for (const { at } of calledWith(500, () => true)) perRing.set(at, (perRing.get(at) ?? 0) + 1)
  assert.equal(Math.max(...perRing.values()), 20)
})
