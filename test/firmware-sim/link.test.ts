import assert from 'node:assert/strict'
import test from 'node:test'
import { instant, milliseconds } from '#shared/time/instant.ts'
import { Link, perfectLink } from '#sim/link.ts'
import { SeededRandom } from '#sim/seeded-random.ts'

function run(seed: number, loss: number, jitter: number, duplication: number): number[] {
  const quality = { loss, delay: milliseconds(10), jitter: milliseconds(jitter), duplication }
  const link = new Link<number>(quality, new SeededRandom(seed))
  for (let i = 0; i < 1_000; i++) link.send(i, instant(i))
  return [...link.arrivals(instant(10_000))]
}

test('a perfect link delivers everything at once and in order', () => {
  const link = new Link<number>(perfectLink, new SeededRandom(1))
  for (let i = 0; i < 10; i++) link.send(i, instant(0))
  assert.deepEqual([...link.arrivals(instant(0))], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.equal(link.deadline(), undefined)
})

test('one seed gives one history', () => {
  assert.deepEqual(run(5, 0.3, 20, 0.1), run(5, 0.3, 20, 0.1))
  assert.notDeepEqual(run(5, 0.3, 20, 0.1), run(6, 0.3, 20, 0.1))
})

test('it loses, doubles and reorders about as often as it is told to', () => {
  const lossy = run(3, 0.3, 0, 0)
  assert.ok(Math.abs(lossy.length - 700) < 60, `${lossy.length} of 1000 arrived`)
  const doubled = run(3, 0, 0, 0.2)
  assert.ok(Math.abs(doubled.length - 1_200) < 60, `${doubled.length} arrived`)
  const jittered = run(3, 0, 20, 0)
  assert.equal(jittered.length, 1_000)
  assert.ok(jittered.some((value, i) => value !== i))
})
