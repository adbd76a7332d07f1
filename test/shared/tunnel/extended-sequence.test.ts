import assert from 'node:assert/strict'
import test from 'node:test'
import { sequenceHighOf } from '#shared/tunnel/extended-sequence.ts'
import { seeded } from './virtual-link.ts'

const WRAP = 2 ** 32

/** RFC 4303 appendix A2.2 as slowly and plainly as can be: which of the three candidates lies in the window, or else ahead of it. */
function plainly(low: number, highestHigh: number, highestLow: number, size: number): number {
  const highest = BigInt(highestHigh) * BigInt(WRAP) + BigInt(highestLow)
  const bottom = highest - BigInt(size)
  for (const high of [highestHigh - 1, highestHigh, highestHigh + 1]) {
    const number = BigInt(high) * BigInt(WRAP) + BigInt(low)
    if (number >= bottom && number < bottom + BigInt(WRAP)) return high
  }
  throw new Error('one of the three always fits')
}

test('the high word of an extended sequence number, at every edge of the window and of 2^32', () => {
  const size = 8192
  const lows = [0, 1, size - 1, size, size + 1, 2 ** 31, WRAP - size - 1, WRAP - size, WRAP - 1]
  for (const high of [0, 1, 5, 2 ** 31, WRAP - 2])
    for (const top of lows)
      for (const low of [...lows, top, Math.max(0, top - size), Math.max(0, top - size - 1), (top + 1) % WRAP])
        assert.equal(sequenceHighOf(low, high, top, size), plainly(low, high, top, size), `${low} after ${high}:${top}`)
})

test('the high word of an extended sequence number: a million seeded numbers', () => {
  const dice = seeded(303)
  const word = (): number => Math.floor(dice() * WRAP)
  for (let i = 0; i < 1_000_000; i++) {
    const high = dice() < 0.1 ? 0 : word() % (WRAP - 1)
    const top = dice() < 0.5 ? word() : Math.floor(dice() * 20_000)
    const low = dice() < 0.5 ? word() : (top + Math.floor((dice() - 0.5) * 40_000) + WRAP) % WRAP
    const expected = low >= top - 8192 ? (low >= top - 8192 + WRAP ? high - 1 : high) : high + 1
    const got = sequenceHighOf(low, high, top, 8192)
    if (got !== expected) assert.equal(got, plainly(low, high, top, 8192))
  }
})
