import assert from 'node:assert/strict'
import test from 'node:test'
import { type NumberSpace, PacketNumber } from '#shared/tunnel/packet-number.ts'
import { SharedNumber } from '#shared/tunnel/shared-number.ts'

const space = (first: 0 | 1, rest: Partial<NumberSpace> = {}): NumberSpace => ({
  first,
  softHigh: 1,
  softLow: 0,
  lastHigh: 2,
  lastLow: 5,
  ...rest,
})

const taken = (number: PacketNumber): readonly [number, number] => {
  assert.ok(number.take())
  return [number.high, number.low]
}

test('numbers begin with 0 or 1 and pass 2^32 exactly', () => {
  const zero = new PacketNumber(space(0))
  assert.deepEqual(
    [taken(zero), taken(zero)],
    [
      [0, 0],
      [0, 1],
    ],
  )
  const one = new PacketNumber(space(1))
  assert.deepEqual(taken(one), [0, 1])
  one.skipTo(0, 0xffff_fffd)
  assert.deepEqual(
    [taken(one), taken(one), taken(one)],
    [
      [0, 0xffff_fffe],
      [0, 0xffff_ffff],
      [1, 0],
    ],
  )
})

test('A-25 the last number is taken once, and none after it; another key is asked for from the soft limit on', () => {
  const number = new PacketNumber(space(0))
  number.skipTo(0, 0xffff_fffe)
  assert.deepEqual(taken(number), [0, 0xffff_ffff])
  assert.ok(!number.isDueForRekey)
  assert.deepEqual(taken(number), [1, 0])
  assert.ok(number.isDueForRekey)
  number.skipTo(2, 4)
  assert.ok(!number.isExhausted)
  assert.deepEqual(taken(number), [2, 5])
  assert.ok(number.isExhausted)
  for (let i = 0; i < 3; i++) assert.ok(!number.take())
  assert.deepEqual([number.high, number.low], [2, 5])
  assert.throws(() => number.skipTo(2, 4), RangeError)
  assert.throws(() => number.skipTo(1, 0xffff_ffff), RangeError)
})

test('shared, it takes from where others take', () => {
  for (const first of [0, 1] as const) {
    const words = new Int32Array(new SharedArrayBuffer(8))
    words[1] = first
    const other = new SharedNumber(words, 1)
    const number = new PacketNumber(space(first))
    number.share(new SharedNumber(words, 1))
    assert.deepEqual(taken(number), [0, first])
    assert.equal(other.take(10), first + 1)
    assert.deepEqual(taken(number), [0, first + 11])
    words[1] = 2 ** 31 - 1
    assert.ok(!number.isDueForRekey)
    assert.deepEqual(taken(number), [0, 2 ** 31 - 1])
    assert.ok(number.isDueForRekey && !number.isExhausted)
    assert.deepEqual(taken(number), [0, 2 ** 31], 'unsigned')
    words[1] = 2 ** 32 - 2 ** 24
    assert.ok(number.isExhausted && !number.take())
    assert.throws(() => number.skipTo(3, 0), RangeError)
  }
})

test('it is shared from the first number on, or not at all', () => {
  const fresh = (): PacketNumber => new PacketNumber(space(1))
  const words = Int32Array.of(1, 0, 2)
  const begun = fresh()
  begun.take()
  assert.throws(() => begun.share(new SharedNumber(words, 0)), RangeError)
  for (const at of [1, 2]) assert.throws(() => fresh().share(new SharedNumber(words, at)), RangeError)
  const shared = fresh()
  shared.share(new SharedNumber(words, 0))
  assert.throws(() => shared.share(new SharedNumber(words, 0)), RangeError)
})
