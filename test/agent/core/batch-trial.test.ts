import assert from 'node:assert/strict'
import test from 'node:test'
import { BatchTrial } from '#agent/core/batch-trial.ts'
import type { Position } from '#agent/core/uplink-window.ts'

/** A broker that takes batches of `seq` numbers, and the loop that the uplink is. Returns what was condemned and what arrived. */
function deliver(rows: number[], takes: (batch: number[], attempt: number) => boolean, attempts = 200) {
  const trial = new BatchTrial()
  const waiting = [...rows]
  const taken = new Set<number>()
  const condemned: number[] = []
  let largest = 0
  for (let attempt = 1; waiting.length > 0 && attempt <= attempts; attempt++) {
    const behind = trial.probeBehind
    const batch = (behind ? waiting.filter((seq) => seq > behind.seq) : waiting).slice(0, trial.limit)
    if (batch.length === 0) {
      if (trial.probesEnded()) continue
      break
    }
    largest = Math.max(largest, batch.length)
    if (takes(batch, attempt)) {
      for (const seq of batch) taken.add(seq)
      if (!behind) waiting.splice(0, batch.length)
      trial.taken()
      continue
    }
    const gone = trial.refused(at(batch[0]!), batch.length)
    if (gone) {
      condemned.push(gone.seq)
      waiting.splice(waiting.indexOf(gone.seq), 1)
    }
  }
  return { trial, taken, condemned, waiting, largest }
}

const at = (seq: number): Position => ({ boot: 1, seq })
const upTo = (length: number): number[] => Array.from({ length }, (_, i) => i + 1)

test('A-64 of a thousand readings the poisoned ones alone are left out, wherever they stand', () => {
  for (const poison of [[1], [500], [501], [999], [1, 2, 3], [137, 702]]) {
    const { taken, condemned, waiting } = deliver(upTo(1000), (batch) => !batch.some((seq) => poison.includes(seq)))
    assert.deepEqual(condemned, poison)
    assert.equal(taken.size, 1000 - poison.length)
    assert.deepEqual(waiting, [])
  }
})

test('A-64 the last reading of all waits for another one to be judged by', () => {
  const { condemned, waiting } = deliver(upTo(3), (batch) => !batch.includes(3))
  assert.deepEqual([condemned, waiting], [[], [3]])
})

test('a broker that refuses everything for long costs nothing, and batches grow again', () => {
  const { taken, condemned, trial } = deliver(upTo(3000), (_batch, attempt) => attempt > 60)
  assert.deepEqual(condemned, [])
  assert.equal(taken.size, 3000)
  assert.equal(trial.isHunting, false)
})

test('a broker that falls ill and recovers in any rhythm costs nothing that it would take', () => {
  for (let period = 2; period < 40; period++) {
    // Ill for a while, then well for a while: what is refused is refused for the broker's sake.
    const well = (attempt: number): boolean => Math.floor(attempt / period) % 2 === 1
    const { condemned } = deliver(upTo(400), (_batch, attempt) => well(attempt), 2000)
    assert.ok(condemned.length <= 1, `period ${period}: ${condemned}`)
  }
})

test('three lost connections of one batch halve it; other batches are innocent', () => {
  const trial = new BatchTrial()
  trial.refused(at(1), 500)
  trial.refused(at(1), 500)
  assert.equal(trial.limit, 500)
  trial.refused(at(501), 500)
  assert.equal(trial.limit, 500)
  trial.refused(at(501), 500)
  trial.refused(at(501), 500)
  assert.equal(trial.limit, 250)
})

test('what cannot be encoded alone is condemned at once', () => {
  const trial = new BatchTrial()
  assert.equal(trial.unsendable(at(1), 500), undefined)
  assert.equal(trial.limit, 250)
  assert.deepEqual(trial.unsendable(at(1), 1), at(1))
})
