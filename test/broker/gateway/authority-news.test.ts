import assert from 'node:assert/strict'
import test from 'node:test'
import { AuthorityNews } from '#broker/gateway/authority-news.ts'
import { silentLog } from '#shared/platform/log.ts'

/** A fleet of three whose clock is moved by hand. */
function fleet() {
  const world = { ms: 0, behind: new Set<number>(), connected: [1, 2, 3], told: [] as [id: number, ms: number][], fails: false }
  const due: { at: number; run: () => void }[] = []
  const news = new AuthorityNews({
    timers: {
      setTimer(span, run) {
        due.push({ at: world.ms + span, run })
        return { clear: () => undefined }
      },
    },
    log: silentLog,
    behind: async (id) => {
      if (world.fails) throw new Error('the disk is away')
      return new Set([...world.behind].filter((one) => id === undefined || one === id))
    },
    connected: () => world.connected,
    tell: (id) => world.told.push([id, world.ms]),
  })
  const pass = async (ms: number): Promise<void> => {
    const until = world.ms + ms
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const next = due.sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > until) break
      due.shift()
      world.ms = next.at
      next.run()
    }
    world.ms = until
  }
  return { world, news, pass }
}

test('those who have to follow are told at a pace, and nobody else', async () => {
  const { world, news, pass } = fleet()
  await news.review()
  await pass(1_000)
  assert.equal(world.told.length, 0, 'nobody is behind')
  world.behind = new Set([1, 3])
  await news.review()
  await pass(1_000)
  assert.deepEqual(
    world.told.map(([id]) => id),
    [1, 3],
  )
  assert.ok(world.told[1]![1] - world.told[0]![1] >= 40)
})

test('who was away is told when it comes, and again when it comes again, until it has followed', async () => {
  const { world, news, pass } = fleet()
  world.behind = new Set([2])
  world.connected = []
  await news.review()
  await pass(1_000)
  assert.equal(world.told.length, 0)
  for (const times of [1, 2]) {
    news.came(2)
    news.came(3)
    await pass(1_000)
    assert.deepEqual(
      world.told.map(([id]) => id),
      Array(times).fill(2),
    )
  }
  world.behind.clear()
  for (let again = 0; again < 3; again++) news.came(2)
  await pass(1_000)
  assert.equal(world.told.length, 2)
})

test('a registry that cannot be read costs the news of that moment alone, and after the end nothing is said', async () => {
  const { world, news, pass } = fleet()
  world.behind = new Set([1])
  await news.review()
  world.fails = true
  await pass(1_000)
  world.fails = false
  const before = world.told.length
  news.came(1)
  await pass(1_000)
  assert.equal(world.told.length, before + 1)
  news.came(1)
  news.stop()
  await pass(1_000)
  assert.equal(world.told.length, before + 1)
})
