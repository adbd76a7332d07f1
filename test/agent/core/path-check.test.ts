import assert from 'node:assert/strict'
import test from 'node:test'
import { PathCheck } from '#agent/core/path-check.ts'
import { instant, milliseconds } from '#shared/time/instant.ts'

const roundTrip = milliseconds(50)

/** A check with tries at these times, in ms. */
function tried(...times: number[]): PathCheck {
  const check = new PathCheck(true, false, instant(times[0]!))
  for (const at of times) check.next(instant(at))
  return check
}

test('a full-size probe is swallowed where its small companion came back, and it has had its time', () => {
  const check = tried(0, 250, 500)
  assert.equal(check.swallowed(roundTrip, instant(1_000)), 0, 'nothing came: nothing is known of sizes')
  check.smallReturned(instant(250), instant(300))
  assert.equal(check.swallowed(roundTrip, instant(350)), 0)
  assert.equal(check.swallowed(roundTrip, instant(400)), 1)
  check.smallReturned(instant(500), instant(550))
  assert.equal(check.swallowed(roundTrip, instant(1_000)), 2)
  assert.equal(check.swallowed(roundTrip, instant(1_000), instant(500)), 1, 'before the third')
  check.resized()
  assert.equal(check.swallowed(roundTrip, instant(1_000)), 0)
})

test('small probes that are passed by a later one count as lost, once', () => {
  const check = tried(0, 250, 500, 750)
  assert.equal(check.smallReturned(instant(500), instant(550)), 2)
  assert.equal(check.smallReturned(instant(750), instant(800)), 0)
})

test('into silence three full-size probes are sent; the next goes out at once when it ends', () => {
  const check = new PathCheck(true, false, instant(0))
  const full = [0, 250, 500, 750, 1_000].map((at) => check.next(instant(at)))
  assert.deepEqual(full, [true, true, true, false, false])
  check.nextAt = instant(1_500)
  check.smallReturned(instant(1_000), instant(1_050))
  assert.equal(check.nextAt, 1_050)
  assert.equal(check.silentTries, 0)
  assert.ok(check.next(instant(1_050)))
})

test('without sizes to test there are small probes only', () => {
  const check = new PathCheck(false, true, instant(0))
  assert.equal(check.next(instant(0)), false)
  check.nextAt = instant(250)
  check.smallReturned(instant(0), instant(50))
  assert.equal(check.nextAt, 250)
})
