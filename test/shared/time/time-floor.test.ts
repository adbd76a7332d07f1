import assert from 'node:assert/strict'
import test from 'node:test'
import { instant, wallTime } from '#shared/time/instant.ts'
import { TimeFloor } from '#shared/time/time-floor.ts'

const year = 365 * 86_400_000
const built = Date.UTC(2026, 0, 1)
const clockAt = (ms: number) => ({ ms, now: () => instant(0), wall: () => wallTime(clock.ms) })
const clock = clockAt(0)

test('F-05 a clock in 1970 stands at the floor, which is the latest of the evidence', () => {
  clock.ms = 0
  const floor = new TimeFloor(clock, built, undefined, built + year)
  assert.equal(floor.now(), built + year)
  assert.equal(floor.isUnsure, true)
  clock.ms = built + 2 * year
  assert.equal(floor.now(), clock.ms)
  assert.equal(floor.isUnsure, false)
})

test('F-05 an excursion of twenty years leaves nothing behind', () => {
  const floor = new TimeFloor(clock, built)
  clock.ms = built + 20 * year
  assert.equal(floor.now(), clock.ms)
  clock.ms = built + 60_000
  assert.equal(floor.now(), clock.ms)
  assert.equal(floor.floor, built)
})

test('F-05 evidence raises it and never lowers it', () => {
  clock.ms = 0
  const floor = new TimeFloor(clock, built)
  for (const ms of [built + year, built, 0, Number.NaN, Number.POSITIVE_INFINITY, -1]) floor.raise(ms)
  assert.equal(floor.floor, built + year)
})

test('F-05, A-65 once the time was said, a clock in 2099 or 1970 is not used, and readings are sure again', () => {
  const monotonic = { ms: 0 }
  const wrong = { ms: 0 }
  const floor = new TimeFloor({ now: () => instant(monotonic.ms), wall: () => wallTime(wrong.ms) }, built)
  for (const ms of [0, Date.UTC(2099, 0, 1)]) {
    wrong.ms = ms
    monotonic.ms = 0
    const said = built + year
    floor.tell(said)
    monotonic.ms = 60_000
    assert.equal(floor.now(), said + 60_000)
    assert.equal(floor.isUnsure, false)
    assert.equal(floor.floor, said, 'the own clock raises nothing')
    // Somebody sets the clock: from then on it is used.
    wrong.ms = said + 61_000
    assert.equal(floor.now(), wrong.ms)
  }
})

test('F-05 a clock that was right and ran on while the machine slept is used; one of 2099 that nobody has judged is unsure', () => {
  const wall = { ms: built }
  const floor = new TimeFloor({ now: () => instant(0), wall: () => wallTime(wall.ms) }, built)
  wall.ms = Date.UTC(2099, 0, 1)
  assert.equal(floor.isUnsure, true)
  wall.ms = built + 1_000
  floor.tell(built)
  wall.ms = built + 86_400_000
  assert.equal(floor.now(), wall.ms)
})
