import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { IkeSpiTable } from '#shared/tunnel/ike-spi-table.ts'
import { SpiTable } from '#shared/tunnel/spi-table.ts'

/** Dice that fall as written. */
const scripted = (...hex: string[]) => ({ random: () => fromHex(hex.shift()!) })

test('A-29 an SPI that is taken, or promised to somebody, is drawn again', () => {
  const table = new SpiTable<string>(scripted('00000001', '80000001', '00000001', '00000002', '80000001', '7fffffff'))
  assert.equal(table.reserve(), 0x8000_0001)
  assert.equal(table.reserved, 1)
  assert.equal(table.reserve(), 0x8000_0002, 'twice the same before it was another')
  table.put(0x8000_0001, 'first')
  assert.equal(table.reserve(), 0xffff_ffff)
  assert.equal(table.get(0x8000_0001), 'first')
  assert.equal(table.get(0x8000_0002), undefined, 'promised, not there')
  table.unreserve(0x8000_0002)
  table.release(0x8000_0001)
  assert.deepEqual([table.size, table.reserved], [0, 1])
})

test('D2 every SPI has its top bit set', () => {
  const table = new SpiTable<number>(nativeSuite)
  for (let i = 0; i < 3_000; i++) assert.ok(table.reserve() >= 0x8000_0000)
})

test('promises that nobody keeps are forgotten, the oldest first', () => {
  const table = new SpiTable<number>(nativeSuite)
  for (let i = 0; i < 10_000; i++) table.reserve()
  assert.ok(table.reserved <= 4_096)
})

test('A-29 IKE: never 0, never one that is taken; after a rekey both lead to the same IKE SA', () => {
  const zero = '0000000000000000'
  const table = new IkeSpiTable<string>(scripted(zero, '0000000000000001', '0000000000000001', '8000000000000000'))
  const first = table.pick()
  assert.equal(first, 1n)
  table.index('sa', [], [first])
  const second = table.pick()
  assert.equal(second, 0x8000_0000_0000_0000n)
  table.index('sa', [first], [second, first])
  assert.equal(table.get(first), 'sa')
  assert.equal(table.get(second), 'sa')
  table.index('sa', [second, first], [])
  assert.equal(table.size, 0)
})
