import assert from 'node:assert/strict'
import test from 'node:test'
import { ReplayWindow } from '#shared/tunnel/replay-window.ts'
import { seeded } from './virtual-link.ts'

const accept = (window: ReplayWindow, counter: bigint): boolean =>
  window.accept(Number(counter >> 32n), Number(counter & 0xffff_ffffn))

/** What RFC 6479 means, as slowly and plainly as can be: the set of all counters ever taken. */
class NaiveWindow {
  readonly #seen = new Set<number>()
  #highest = -1
  readonly #size: number
  constructor(size: number) {
    this.#size = size
  }
  accept(counter: number): boolean {
    if (this.#seen.has(counter) || counter < this.#highest - this.#size) return false
    this.#seen.add(counter)
    this.#highest = Math.max(this.#highest, counter)
    return true
  }
}

/** W = 8192: the same cases as the kernel's counter self-test, scaled to our window. */
const W = 8192n
const LIMIT = (1n << 64n) - W - 1n

test('P-01 replay window correct at every edge: the 34 named cases at our own size', () => {
  const T = W + 1n
  const steps: [bigint, boolean][] = [
    [0n, true],
    [1n, true],
    [1n, false],
    [9n, true],
    [8n, true],
    [7n, true],
    [7n, false],
    [T, true],
    [T - 1n, true],
    [T - 1n, false],
    [T - 2n, true],
    [2n, true],
    [2n, false],
    [T + 16n, true],
    [3n, false],
    [T + 16n, false],
    [T * 4n, true],
    [T * 4n - (T - 1n), true],
    [10n, false],
    [T * 4n - T, false],
    [T * 4n - (T + 1n), false],
    [T * 4n - (T - 2n), true],
    [T * 4n + 1n - T, false],
    [0n, false],
    [LIMIT, false],
    [LIMIT - 1n, true],
    [LIMIT, false],
    [LIMIT - 1n, false],
    [LIMIT - 2n, true],
    [LIMIT + 1n, false],
    [LIMIT + 2n, false],
    [LIMIT - 2n, false],
    [LIMIT - 3n, true],
    [0n, false],
  ]
  const window = new ReplayWindow()
  for (const [index, [counter, expected]] of steps.entries())
    assert.equal(accept(window, counter), expected, `step ${index}, counter ${counter}`)
})

test('P-01 a million random counters: nothing accepted twice, nothing fresh refused, against a naive set', () => {
  for (const [seed, size] of [
    [1, 8192],
    [2, 8128],
    [3, 100],
    [4, 32],
  ] as const) {
    const dice = seeded(seed)
    const window = new ReplayWindow(size)
    const naive = new NaiveWindow(size)
    let highest = 0
    for (let i = 0; i < 250_000; i++) {
      const kind = dice()
      const reach = kind < 0.02 ? size * 3 : kind < 0.5 ? 40 : size * 1.2
      const counter = Math.max(0, Math.floor(highest + (dice() - (kind < 0.02 ? 0 : 0.7)) * reach))
      const expected = naive.accept(counter)
      if (window.accept(0, counter) !== expected) assert.fail(`seed ${seed}: counter ${counter} must be ${expected}`)
      highest = Math.max(highest, counter)
    }
  }
})

test('the window is exact where the counter passes 2^32 and 2^53', () => {
  for (const base of [1n << 32n, 1n << 53n, (1n << 63n) - 1n]) {
    const window = new ReplayWindow()
    for (let i = -5000n; i < 5000n; i++) assert.ok(accept(window, base + i), `${base} + ${i}`)
    for (let i = -5000n; i < 5000n; i++) assert.ok(!accept(window, base + i), `${base} + ${i} again`)
    assert.ok(accept(window, base + 10_000n))
    assert.ok(!accept(window, base + 10_000n - W - 1n))
    assert.ok(accept(window, base + 5000n))
  }
})

test('a counter behind a jump of any size is judged right: multiples of 32, of the ring, of 2^32', () => {
  for (const jump of [31n, 32n, 33n, 8191n, 8192n, 8224n, 8225n, 257n * 32n, 1n << 32n, (1n << 32n) + 32n, 1n << 60n]) {
    const window = new ReplayWindow()
    assert.ok(accept(window, 100n))
    assert.ok(accept(window, 100n + jump))
    assert.equal(accept(window, 100n), false, `100 again after ${jump}`)
    assert.equal(accept(window, 101n), jump !== 1n && 101n >= 100n + jump - W, `101 after ${jump}`)
  }
})

test('an idle session keeps 16 bytes of window, a busy one 1028', () => {
  const window = new ReplayWindow()
  assert.equal(window.bytes, 0)
  for (let i = 0; i < 100; i++) window.accept(0, i)
  assert.equal(window.bytes, 16)
  for (let i = 100; i < 20_000; i++) assert.ok(window.accept(0, i))
  assert.equal(window.bytes, 1028)
  for (let i = 20_000 - 1 - 8192; i < 20_000; i++) assert.ok(!window.accept(0, i))
})
