import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { NetworkMemory } from '#agent/io/network-memory.ts'
import { milliseconds, wallTime } from '#shared/time/instant.ts'

async function place(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-memory-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'networks.json')
}

const print = (n: number): string => n.toString(16).padStart(32, '0')
const known = (interval: number) => ({ interval: milliseconds(interval), capped: false })
const day = 86_400_000

test('what was learned is there after a restart, in a file of 0600, until it is a month old', async (t) => {
  const path = await place(t)
  const memory = await NetworkMemory.open(path, 'salt')
  memory.learned(print(1), known(110_000), wallTime(1000))
  memory.learned(print(2), { interval: undefined, capped: false }, wallTime(1000))
  await memory.saved()
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  const again = await NetworkMemory.open(path, 'another')
  assert.equal(again.salt, 'salt')
  assert.deepEqual(again.recall(print(1), wallTime(29 * day)), known(110_000))
  assert.equal(again.recall(print(1), wallTime(31 * day)), undefined)
  assert.equal(again.recall(print(1), wallTime(999)), undefined, 'a clock that went back proves nothing')
  assert.deepEqual(again.recall(print(2), wallTime(day)), { interval: undefined, capped: false })
  assert.equal(again.recall(print(2), wallTime(3 * day)), undefined)
  again.forget(print(1))
  await again.saved()
  assert.equal((await NetworkMemory.open(path, '')).recall(print(1), wallTime(2000)), undefined)
})

test('thirty-two networks are remembered, the oldest are forgotten', async (t) => {
  const path = await place(t)
  const memory = await NetworkMemory.open(path, 'salt')
  for (let n = 0; n < 40; n++) memory.learned(print(n), known(50_000), wallTime(1000 + n))
  await memory.saved()
  assert.equal(Object.keys(JSON.parse(await readFile(path, 'utf8')).networks).length, 32)
  assert.equal(memory.recall(print(7), wallTime(2000)), undefined)
  assert.ok(memory.recall(print(8), wallTime(2000)))
})

test('F-03 a damaged file costs what was learned and nothing else; impossible entries are left out', async (t) => {
  const path = await place(t)
  for (const damage of ['', '{', '[]', 'null', '{"salt":1,"networks":{}}', '\0\0\0']) {
    await writeFile(path, damage)
    const memory = await NetworkMemory.open(path, 'new')
    assert.equal(memory.salt, 'new', damage)
    memory.learned(print(1), known(60_000), wallTime(1))
    await memory.saved()
    assert.deepEqual((await NetworkMemory.open(path, '')).recall(print(1), wallTime(2)), known(60_000))
  }
  assert.ok((await readdir(join(path, '..'))).some((name) => name.includes('corrupt')))
  const entry = { interval: 60_000, capped: false, learnedAt: 1 }
  const networks = {
    [print(1)]: entry,
    x: entry,
    [print(2)]: { ...entry, interval: 1 },
    [print(3)]: { ...entry, interval: 'x' },
    [print(4)]: null,
  }
  await writeFile(path, JSON.stringify({ salt: 's', networks }))
  const memory = await NetworkMemory.open(path, '')
  assert.ok(memory.recall(print(1), wallTime(2)))
  for (const n of [2, 3, 4]) assert.equal(memory.recall(print(n), wallTime(2)), undefined)
})
