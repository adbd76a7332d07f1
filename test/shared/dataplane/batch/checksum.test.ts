import assert from 'node:assert/strict'
import { test } from 'node:test'
import { finish, fold, networkHalf, plainSum, sumOver } from '#shared/dataplane/batch/checksum.ts'
import { roll } from '#test/fuzz/mutate.ts'
import { slowSum } from '#test/shared/dataplane/batch/flow-packets.ts'
import { heapMemory, wasmMemory } from '#test/shared/dataplane/batch/memory.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

/** The slow sum, in the machine's order. */
const twin = (bytes: Uint8Array): number => networkHalf(slowSum(bytes))
const simd = wasmMemory(2)
const plain = heapMemory(2 * 65_536)
const roads = [
  ['SIMD', simd, sumOver(simd)],
  ['plain', plain, sumOver(plain)],
  ['plain over WebAssembly memory', simd, plainSum(simd)],
] as const
/** Both zeros of ones' complement are one. */
const same = (sum: number, expected: number): boolean => fold(sum) % 0xffff === expected % 0xffff

test('every length up to 200 at every even offset of a line, between bytes that do not count', () => {
  const dice = seeded(1)
  for (const [name, memory, sum] of roads) {
    for (let length = 0; length <= 200; length++) {
      for (let i = 0; i < 240; i++) memory.bytes[i] = roll(dice, 256)
      for (let at = 0; at < 16; at += 2) {
        assert.ok(same(sum(at, length), twin(memory.bytes.subarray(at, at + length))), `${name}: ${length} at ${at}`)
      }
    }
  }
})

test('random lengths to 65535, and the largest values there are', () => {
  const dice = seeded(2)
  for (const [name, memory, sum] of roads) {
    for (let run = 0; run < 100; run++) {
      const length = run === 0 ? 65_535 : roll(dice, 65_536)
      const at = 2 * roll(dice, 500)
      if (run < 2) memory.bytes.fill(0xff)
      else for (let i = 0; i < 1000; i++) memory.bytes[roll(dice, memory.bytes.length)] = roll(dice, 256)
      const result = sum(at, length)
      assert.ok(result < 2 ** 17 && same(result, twin(memory.bytes.subarray(at, at + length))), `${name}: ${length} at ${at}`)
    }
  }
})

test('the last bytes of the memory can be summed', () => {
  for (const [name, memory, sum] of roads) {
    memory.bytes.fill(1)
    const size = memory.bytes.length
    for (let length = 2; length < 100; length += 2) assert.equal(fold(sum(size - length, length)), (0x0101 * length) / 2, name)
  }
})

test('RFC 1071 §3: the example', () => {
  plain.bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])
  const sum = sumOver(plain)(0, 8)
  assert.equal(networkHalf(fold(sum)), 0xddf2)
  assert.equal(networkHalf(finish(sum)), 0x220d)
})

test('where the engine can, the SIMD road is taken, once a memory', () => {
  assert.notEqual(sumOver(simd).toString(), plainSum(simd).toString())
  assert.equal(sumOver(simd), sumOver(simd))
})
