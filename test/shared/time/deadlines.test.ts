import assert from 'node:assert/strict'
import test from 'node:test'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { Deadlines, type Timed } from '#shared/time/deadlines.ts'
import { instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import { seeded } from '../tunnel/virtual-link.ts'

test('deadlines come in order, however they were added, moved and cancelled, against a sorted list', () => {
  const dice = seeded(1)
  const heap = new Deadlines<Timed>()
  const items: Timed[] = Array.from({ length: 200 }, () => ({ due: instant(0), slot: -1 }))
  const model = new Map<Timed, number>()
  for (let i = 0; i < 20_000; i++) {
    const item = items[Math.floor(dice() * items.length)]!
    if (dice() < 0.3) {
      heap.cancel(item)
      model.delete(item)
    } else {
      const at = Math.floor(dice() * 1000)
      heap.schedule(item, instant(at))
      model.set(item, at)
    }
    assert.equal(heap.size, model.size)
    if (i % 50 === 0) assert.equal(heap.earliest?.due, model.size ? Math.min(...model.values()) : undefined)
  }
  const expected = [...model.values()].sort((a, b) => a - b)
  const found: number[] = []
  for (let item = heap.takeDue(instant(5000)); item !== undefined; item = heap.takeDue(instant(5000))) found.push(item.due)
  assert.deepEqual(found, expected)
  assert.ok(items.every(({ slot }) => slot === -1))
})

test('nothing is taken before it is due', () => {
  const heap = new Deadlines<Timed>()
  const item: Timed = { due: instant(0), slot: -1 }
  heap.schedule(item, instant(10))
  assert.equal(heap.takeDue(instant(9)), undefined)
  assert.equal(heap.takeDue(instant(10)), item)
})

test('a backoff stays between base and cap, grows, is spread, and starts anew', () => {
  const backoff = new Backoff({ base: seconds(1), cap: seconds(60) }, seeded(2))
  const waits = Array.from({ length: 200 }, () => backoff.next())
  assert.ok(waits.every((wait) => wait >= 1_000 && wait <= 60_000))
  assert.ok(waits[0]! <= 3_000)
  assert.ok(Math.max(...waits) > 30_000)
  assert.equal(new Set(waits).size, 200)
  backoff.reset()
  assert.ok(backoff.next() <= 3_000)
  assert.throws(() => new Backoff({ base: seconds(0), cap: milliseconds(1) }, seeded(1)), RangeError)
})

test('dice out of random bytes are uniform in [0, 1)', () => {
  assert.equal(uniform((n) => new Uint8Array(n))(), 0)
  assert.ok(uniform((n) => new Uint8Array(n).fill(255))() < 1)
})

test('a bucket gives its burst, then its rate, and never more', () => {
  const bucket = new TokenBucket(10, 5)
  let taken = 0
  for (let ms = 0; ms < 10_000; ms++) if (bucket.take(instant(ms))) taken++
  assert.ok(taken >= 104 && taken <= 105, String(taken))
  assert.ok(!bucket.isFull(instant(10_000)))
  assert.ok(bucket.isFull(instant(11_000)))
  assert.ok(!bucket.take(instant(5_000), 6), 'time that runs back gives nothing')
})
