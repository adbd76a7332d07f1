import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { checkTrailer, writeTrailer } from '#shared/wire/esp.ts'
import { fuzz } from './fuzz.ts'
import { randomBytes, roll } from './mutate.ts'

test('P-13 ESP trailer: any bytes have a length within themselves, or are refused', () => {
  const good = new Uint8Array(64)
  writeTrailer(good, 40, 22, 4)
  const taken = fuzz({
    name: 'ESP trailer',
    seeds: [good],
    grammar: (dice) => {
      const payload = randomBytes(dice, roll(dice, 60))
      const out = new Uint8Array(400)
      out.set(payload)
      return out.subarray(0, writeTrailer(out, payload.length, roll(dice, 256), roll(dice, 256)))
    },
    run: (input) => {
      const length = checkTrailer(input, input.length)
      if (length < 0) assert.equal(length, DropReason.InnerMalformed)
      else assert.ok(length + 2 <= input.length)
    },
  })
  assert.ok(taken > 0)
})
