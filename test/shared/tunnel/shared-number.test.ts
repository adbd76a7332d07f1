import assert from 'node:assert/strict'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { SharedNumber } from '#shared/tunnel/shared-number.ts'

const LIMIT = 2 ** 32 - 2 ** 24

const from = (next: number): { number: SharedNumber; words: Uint32Array } => {
  const words = Uint32Array.of(7, next, 7)
  return { number: new SharedNumber(words, 1), words }
}

test('numbers one by one and many at once, each to one taker', () => {
  const { number, words } = from(1)
  assert.deepEqual([number.take(), number.take(64), number.take(2 ** 16), number.next], [1, 2, 66, 66 + 2 ** 16])
  assert.deepEqual([words[0], words[2]], [7, 7])
})

test('A-25 it ends well before 2^32, and asking in vain moves it no further', () => {
  const { number, words } = from(LIMIT - 3)
  assert.equal(number.take(4), -1, 'a batch is whole or nothing')
  assert.equal(number.take(2), LIMIT - 3)
  assert.ok(!number.isExhausted)
  assert.equal(number.take(), LIMIT - 1)
  assert.ok(number.isExhausted)
  for (let i = 0; i < 1_000; i++) assert.equal(number.take(1 + (i % 5)), -1)
  assert.equal(words[1], LIMIT)
})

test('another key is asked for from 2^31 on, in signed memory too', () => {
  const signed = new Int32Array([2 ** 31 - 1])
  const number = new SharedNumber(signed, 0)
  assert.ok(!number.isDueForRekey)
  assert.equal(number.take(), 2 ** 31 - 1)
  assert.ok(number.isDueForRekey && !number.isExhausted)
  assert.equal(number.take(), 2 ** 31)
})

test('what is no batch or no word is refused', () => {
  const { number, words } = from(0)
  for (const count of [0, -1, 2 ** 16 + 1, Number.NaN]) assert.throws(() => number.take(count), RangeError)
  for (const at of [-1, 3, 0.5]) assert.throws(() => new SharedNumber(words, at), RangeError)
  assert.equal(number.next, 0)
})

test('A-25 two threads that take from it at once never get the same number', async () => {
  const rounds = 20_000
  const words = new Int32Array(new SharedArrayBuffer(8))
  const taker = `
    const { parentPort, workerData: { tsx, url, words, rounds } } = require('node:worker_threads')
    import(tsx).then(({ tsImport }) => tsImport(url, url)).then(({ SharedNumber }) => {
      const number = new SharedNumber(words, 0)
      const firsts = new Int32Array(rounds)
      Atomics.add(words, 1, 1)
      while (Atomics.load(words, 1) < 2);
      for (let i = 0; i < rounds; i++) firsts[i] = number.take(1 + (i % 3))
      parentPort.postMessage(firsts)
    })`
  const tsx = import.meta.resolve('tsx/esm/api')
  const workerData = { tsx, url: new URL('../../../shared/tunnel/shared-number.ts', import.meta.url).href, words, rounds }
  const run = (): Promise<Int32Array> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(taker, { eval: true, workerData })
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  const lists = await Promise.all([run(), run()])
  const seen = new Uint8Array(rounds * 4)
  for (const firsts of lists)
    for (const [i, first] of firsts.entries())
      for (let n = first; n <= first + (i % 3); n++) {
        assert.equal(seen[n], 0)
        seen[n] = 1
      }
  assert.equal(seen.indexOf(0), words[0], 'and leave none out')
})
