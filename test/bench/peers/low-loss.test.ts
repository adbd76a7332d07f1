import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LowLossRate } from './low-loss.ts'

/** A tunnel that delivers so many packets a second and loses what is above. */
const tunnelOf = (limit: number, flood: number) => {
  let trials = 0
  return {
    get trials(): number {
      return trials
    },
    async trial(packetsPerSecond: number) {
      trials++
      const offered = Math.min(packetsPerSecond, flood)
      return { delivered: Math.min(offered, limit), lost: Math.max(0, 1 - limit / offered) }
    },
  }
}

test('finds the limit within a tenth, and closer in later rounds', async () => {
  const { trial } = tunnelOf(50_000, 300_000)
  const rate = new LowLossRate()
  // What an overwhelmed receiver delivers is less than it can.
  for (const within of [0.1, 0.06, 0.06]) {
    const found = await rate.search({ delivered: 31_000, lost: 0.9 }, trial)
    assert.ok(found > 50_000 * (1 - within) && found <= 50_000, `${found}`)
  }
})

test('takes a flood that loses nothing as the answer', async () => {
  const tunnel = tunnelOf(400_000, 300_000)
  assert.equal(await new LowLossRate().search({ delivered: 300_000, lost: 0 }, tunnel.trial), 300_000)
  assert.equal(tunnel.trials, 0)
})

test('looks below where nothing passed, and says 0 where nothing ever does', async () => {
  const found = await new LowLossRate().search({ delivered: 100_000, lost: 0.5 }, tunnelOf(3_000, 300_000).trial)
  assert.ok(found > 1_000 && found <= 3_000, `${found}`)
  const none = { delivered: 10, lost: 1 }
  assert.equal(await new LowLossRate().search(none, async () => none), 0)
})
