import assert from 'node:assert/strict'
import test from 'node:test'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'

test('what comes in one turn, or while a commit is under way, shares a commit; each gets its own result', async () => {
  const groups: number[][] = []
  let release = (): void => undefined
  const batcher = new CommitBatcher<number, number>({
    maxWeight: 100,
    async write(items) {
      groups.push([...items])
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return items.map((n) => n * 2)
    },
  })
  const written = async (): Promise<void> => {
    const before = groups.length
    while (groups.length === before) await new Promise((resolve) => setImmediate(resolve))
  }
  const first = [batcher.add(1), batcher.add(2)]
  await written()
  const second = [batcher.add(3), batcher.add(4), batcher.add(5)]
  release()
  assert.deepEqual(await Promise.all(first), [2, 4])
  while (groups.length < 2) await new Promise((resolve) => setImmediate(resolve))
  release()
  assert.deepEqual(await Promise.all(second), [6, 8, 10])
  assert.deepEqual(groups, [
    [1, 2],
    [3, 4, 5],
  ])
  await batcher.drained()
  assert.equal(batcher.idle, true)
})

test('a group never weighs more than its limit, unless one item alone does', async () => {
  const groups: string[][] = []
  const batcher = new CommitBatcher<string, void>({
    maxWeight: 10,
    async write(items) {
      groups.push([...items])
      return []
    },
  })
  await Promise.all([batcher.add('a', 6), batcher.add('b', 5), batcher.add('c', 5), batcher.add('d', 40), batcher.add('e', 1)])
  assert.deepEqual(groups, [['a'], ['b', 'c'], ['d'], ['e']])
})

test('a failed commit fails its own group alone, and the next goes on', async () => {
  const batcher = new CommitBatcher<number, number>({
    maxWeight: 2,
    async write(items) {
      if (items.includes(1)) throw new Error('disk')
      return [...items]
    },
  })
  const results = await Promise.allSettled([1, 2, 3].map((n) => batcher.add(n)))
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected', 'fulfilled'],
  )
  assert.equal(await batcher.add(4), 4)
})
