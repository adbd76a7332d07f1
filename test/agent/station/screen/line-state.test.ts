import assert from 'node:assert/strict'
import test from 'node:test'
import type { LineEvent } from '#agent/station/line-event.ts'
import { afterEvent, beginLine, type LineState, viewOf, withCount } from '#agent/station/screen/line-state.ts'
import { count, eventAt, noon } from './watched-line.ts'

const run = (events: readonly LineEvent[], state: LineState = beginLine(count, noon)): LineState =>
  events.reduce(afterEvent, state)
const minute = 60_000

test('a unit is in hand from its beginning to its end, with its step and how far it is', () => {
  const state = run([
    eventAt(0, 'a', 'opened'),
    eventAt(1_000, 'a', 'issued'),
    eventAt(2_000, 'a', 'writing', { progress: 0.25 }),
  ])
  assert.deepEqual(viewOf(state, noon + 5_000).inHand, [
    { serial: 'a', name: 'pi-a', way: 'image', step: 'writing', progress: 0.25, seconds: 5 },
  ])
  assert.deepEqual(run([eventAt(6_000, 'a', 'delivered')], state).inHand, [])
  assert.deepEqual(run([eventAt(6_000, 'a', 'failed')], state).inHand, [])
  assert.deepEqual(run([eventAt(6_000, 'a', 'scrapped')], state).inHand, [])
})

test('several units stand in the order in which they were begun; a label of a delivered one begins none', () => {
  const state = run([
    eventAt(1, 'b', 'opened'),
    eventAt(2, 'a', 'opened'),
    eventAt(3, 'b', 'issued'),
    eventAt(4, 'c', 'labelled'),
  ])
  assert.deepEqual(
    state.inHand.map(({ serial }) => serial),
    ['b', 'a'],
  )
})

test('the last five failures, the newest first, each with cause and mend; a unit once; one that is delivered after all leaves', () => {
  const failed = (at: number, serial: string) =>
    eventAt(at, serial, 'failed', { code: 'disk-full', detail: 'No room.', mend: 'Take another card.' })
  let state = run([...'abcdef'].map((serial, at) => failed(at, serial)))
  assert.deepEqual(
    state.failures.map(({ serial }) => serial),
    ['f', 'e', 'd', 'c', 'b'],
  )
  state = run([failed(10, 'c')], state)
  assert.deepEqual(
    state.failures.map(({ serial }) => serial),
    ['c', 'f', 'e', 'd', 'b'],
  )
  state = run([eventAt(11, 'f', 'delivered'), eventAt(12, 'b', 'scrapped')], state)
  assert.deepEqual(
    state.failures.map(({ serial }) => serial),
    ['c', 'e', 'd'],
  )
  assert.deepEqual(viewOf(state, noon + 70_010).failures[0], {
    serial: 'c',
    name: 'pi-c',
    code: 'disk-full',
    detail: 'No room.',
    mend: 'Take another card.',
    secondsAgo: 70,
  })
})

test('each end of a unit is a verdict of its own, also of the same unit twice', () => {
  const numbers = [
    eventAt(1, 'a', 'failed'),
    eventAt(2, 'a', 'opened'),
    eventAt(3, 'a', 'delivered'),
    eventAt(4, 'a', 'labelled'),
  ].reduce<{ state: LineState; seen: unknown[] }>(
    ({ state, seen }, event) => {
      const next = afterEvent(state, event)
      return { state: next, seen: [...seen, [next.verdict?.number, next.verdict?.pass]] }
    },
    { state: beginLine(count, noon), seen: [] },
  ).seen
  assert.deepEqual(numbers, [
    [1, false],
    [1, false],
    [2, true],
    [2, true],
  ])
})

test('units an hour: of the last quarter of an hour, of the time since the screen was opened before that, and of no unit twice', () => {
  const every = (ms: number, n: number) => Array.from({ length: n }, (_, i) => eventAt((i + 1) * ms, `s${i}`, 'delivered'))
  assert.equal(viewOf(run([]), noon + minute).perHour, null)
  assert.equal(viewOf(run(every(30_000, 20)), noon + 10 * minute).perHour, 120)
  // Within the first minute one unit is no rate of thousands.
  assert.equal(viewOf(run(every(1_000, 1)), noon + 1_000).perHour, 60)
  const twice = [...every(30_000, 20), eventAt(10 * minute, 's19', 'delivered')]
  assert.equal(viewOf(run(twice), noon + 10 * minute).perHour, 120)
  // A pause of an hour, then one a minute: what was before the pause is forgotten.
  const resumed = Array.from({ length: 15 }, (_, i) => eventAt(70 * minute + (i + 1) * minute, `t${i}`, 'delivered'))
  const state = run([...every(30_000, 20), ...resumed])
  assert.equal(viewOf(state, noon + 85 * minute).perHour, 60)
  assert.equal(state.deliveries.size, 15)
})

test('the time to finish is what is left at this rate; none without a batch or a rate; none left once it is done', () => {
  const state = run(Array.from({ length: 20 }, (_, i) => eventAt((i + 1) * 30_000, `s${i}`, 'delivered')))
  const at = noon + 10 * minute
  assert.equal(viewOf(withCount(state, { ...count, planned: 140, delivered: 20 }), at).secondsToFinish, 3_600)
  assert.equal(viewOf(withCount(state, { ...count, planned: 20, delivered: 20 }), at).secondsToFinish, 0)
  assert.equal(viewOf(withCount(state, { ...count, planned: undefined }), at).secondsToFinish, null)
  assert.equal(viewOf(beginLine({ ...count, planned: 10 }, noon), at).secondsToFinish, null)
})

test('a clock that was set back makes no age negative', () => {
  assert.equal(viewOf(run([eventAt(60_000, 'a', 'opened')]), noon).inHand[0]!.seconds, 0)
})
