import assert from 'node:assert/strict'
import test from 'node:test'
import type { PathState } from '#agent/core/path-health.ts'
import { RepairLadder } from '#agent/core/repair-ladder.ts'
import { instant, milliseconds } from '#shared/time/instant.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

function climb(ladder: RepairLadder, state: PathState, ms: number, from = 0): string[] {
  const steps: string[] = []
  for (let now = from; now < from + ms; now += 100) {
    const repair = ladder.trouble(state, milliseconds(40), instant(now))
    if (repair) steps.push(repair)
  }
  return steps
}

test('one repair after the other, each with time to help, and the search for ever', () => {
  const ladder = new RepairLadder(seededSuite(1))
  assert.deepEqual(climb(ladder, 'down', 700), ['rebind'])
  const rest = climb(ladder, 'down', 60_000, 700)
  assert.ok(rest.length >= 9 && rest.length <= 13 && rest.every((step) => step === 'search'))
})

test('where small packets pass, their size is searched first; what works again starts anew', () => {
  const ladder = new RepairLadder(seededSuite(2))
  assert.deepEqual(climb(ladder, 'small-packets-only', 4_900), [])
  assert.deepEqual(climb(ladder, 'small-packets-only', 500, 4_900), ['rebind'])
  ladder.reset()
  assert.deepEqual(climb(ladder, 'one-way', 100, 9_000), ['rebind'])
})
