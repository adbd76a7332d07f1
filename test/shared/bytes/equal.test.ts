import assert from 'node:assert/strict'
import { test } from 'node:test'
import { equalConstantTime, equalPublic, isAllZero } from '#shared/bytes/equal.ts'

/** The bytes, and how often one of them was read. */
function counted(bytes: Uint8Array): { bytes: Uint8Array; reads(): number } {
  let reads = 0
  const proxy = new Proxy(bytes, {
    get(target, name) {
      if (typeof name === 'string' && /^\d+$/.test(name)) reads++
      return Reflect.get(target, name, target)
    },
  })
  return { bytes: proxy, reads: () => reads }
}

test('A-31 equality of secrets reads every byte, wherever the first difference is', () => {
  const secret = Uint8Array.from({ length: 32 }, (_, i) => i)
  for (let at = 0; at <= 32; at++) {
    const guess = secret.slice()
    if (at < 32) guess[at] = 0xff
    const watched = counted(guess)
    assert.equal(equalConstantTime(secret, watched.bytes), at === 32)
    assert.equal(watched.reads(), 32, `a difference at byte ${at} changes what is read`)
  }
})

test('unequal lengths are unequal, equal bytes are equal', () => {
  for (const equal of [equalConstantTime, equalPublic]) {
    assert.ok(equal(new Uint8Array(0), new Uint8Array(0)))
    assert.ok(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2)))
    assert.ok(!equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0)))
    assert.ok(!equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3)))
  }
})

test('isAllZero sees one bit anywhere', () => {
  assert.ok(isAllZero(new Uint8Array(32)))
  for (let bit = 0; bit < 256; bit++) {
    const bytes = new Uint8Array(32)
    bytes[bit >> 3] = 1 << (bit & 7)
    assert.ok(!isAllZero(bytes))
  }
})
