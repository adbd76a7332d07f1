import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abis } from '#shared/platform/linux-engine/abi.ts'
import { EventFd } from '#shared/platform/linux-engine/event-fd.ts'
import { Libc, POLLIN } from '#shared/platform/linux-engine/libc.ts'
import { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import fc from '#test/lab/properties.ts'
import { native, noNative } from './native-here.ts'

const BASE = 0x7fab_cdef_0000

test('whatever is asked, no address leaves the memory', () => {
  const memory = new NativeMemory(100_000, abis.x64!, () => BASE)
  assert.equal(memory.size, 131_072, 'whole pages')
  const edges = fc.constantFrom(0, 1, memory.size - 1, memory.size, memory.size + 1, 2 ** 31, 2 ** 32, 2 ** 53, -1, -0)
  const odd = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5, -0.5, memory.size - 0.5)
  const any = fc.oneof(edges, odd, fc.integer(), fc.double(), fc.maxSafeInteger(), fc.nat(memory.size))
  fc.assert(
    fc.property(any, any, (at, length) => {
      const inside = at >= 0 && length >= 0 && at + length <= memory.size
      if (!inside) {
        assert.throws(() => memory.address(at, length), RangeError)
        assert.throws(() => memory.setPointer(0, at, length), RangeError)
        return
      }
      const address = memory.address(at, length)
      assert.ok(address >= BASE && address + length <= BASE + memory.size)
    }),
    { numRuns: 5_000 },
  )
  memory.close()
  assert.throws(() => memory.address(0, 1), RangeError, 'a closed memory has no bytes')
  assert.throws(() => memory.allocate(1), RangeError)
})

test('parts that are handed out are aligned, apart from each other and inside', () => {
  const memory = new NativeMemory(65_536, abis.x64!, () => BASE)
  let end = 0
  for (const [length, align] of [
    [1, 64],
    [65, 64],
    [3, 2],
    [0, 64],
    [4096, 4096],
  ] as const) {
    const at = memory.allocate(length, align)
    assert.ok(at >= end && at % align === 0)
    end = at + length
  }
  assert.throws(() => memory.allocate(memory.size), RangeError)
  assert.throws(() => memory.allocate(-1), RangeError)
  assert.throws(() => memory.allocate(Number.NaN), RangeError)
  assert.equal(memory.allocate(memory.size - end, 1), end, 'a refusal takes nothing')
})

test('pointers are as wide as the machine has them', () => {
  for (const [arch, base] of [
    ['x64', BASE],
    ['arm', 0xb6f0_0000],
  ] as const) {
    const memory = new NativeMemory(64, abis[arch]!, () => base)
    memory.words.fill(0xffff_ffff, 0, 4)
    memory.setPointer(4, 100, 20)
    const [low, high] = [(base + 100) % 2 ** 32, Math.floor(base / 2 ** 32)]
    assert.deepEqual([...memory.words.subarray(0, 4)], [0xffff_ffff, low, arch === 'arm' ? 0xffff_ffff : high, 0xffff_ffff])
  }
})

test('libc writes where we read, and reads what we write', { skip: noNative }, () => {
  const memory = native.memory(1)
  const libc = new Libc(native)
  const at = memory.allocate(64)
  native.library(null).function('void memset(uintptr_t to, int value, size_t length)')(memory.address(at, 8), 0xa5, 8)
  assert.equal(memory.view.getBigUint64(at), 0xa5a5_a5a5_a5a5_a5a5n)
  const descriptor = libc.eventfd(3, 0)
  memory.words[at >> 2] = 4
  memory.words[(at >> 2) + 1] = 0
  assert.equal(libc.write(descriptor, memory.address(at, 8), 8), 8)
  assert.equal(libc.read(descriptor, memory.address(at + 8, 8), 8), 8)
  assert.equal(memory.view.getBigUint64(at + 8, true), 7n)
  // A view that was made before stays good, for the memory never moves.
  assert.equal(memory.bytes[at + 8], 7)
  assert.equal(libc.close(descriptor), 0)
  assert.equal(libc.close(descriptor), -1)
  assert.equal(libc.errno(), 9)
})

test('an event wakes whoever polls, once', { skip: noNative }, () => {
  const memory = native.memory(1)
  const libc = new Libc(native)
  const here = new EventFd(libc, memory)
  const there = new EventFd(libc, native.memory(1), here.descriptor)
  const { pollfd } = memory.abi
  const at = memory.allocate(pollfd.size)
  memory.words[(at + pollfd.descriptor) >> 2] = there.descriptor
  memory.halves[(at + pollfd.events) >> 1] = POLLIN
  const ready = () => libc.poll(memory.address(at, pollfd.size), 1, 0)
  assert.equal(ready(), 0)
  here.wake()
  here.wake()
  assert.equal(ready(), 1)
  assert.equal(memory.halves[(at + pollfd.returned) >> 1], POLLIN)
  there.drain()
  assert.equal(ready(), 0)
  there.drain()
  here.close()
})
