import assert from 'node:assert/strict'
import test from 'node:test'
import { type Chained, ChainedTable } from '#shared/dataplane/chained-table.ts'

class Entry implements Chained<Entry> {
  readonly hash: number
  readonly name: string
  next: Entry | undefined = undefined

  constructor(hash: number, name: string) {
    this.hash = hash
    this.name = name
  }
}

const namesAt = (table: ChainedTable<Entry>, hash: number): string[] => {
  const names: string[] = []
  for (let entry = table.first(hash); entry !== undefined; entry = entry.next) if (entry.hash === hash) names.push(entry.name)
  return names.sort()
}

test('entries of one hash stand together, whatever else shares their bucket', () => {
  const table = new ChainedTable<Entry>()
  for (const [hash, name] of [
    [5, 'a'],
    [5 + 64, 'b'],
    [5, 'c'],
    [-59, 'd'],
  ] as const)
    table.add(new Entry(hash, name))
  assert.deepEqual(namesAt(table, 5), ['a', 'c'])
  assert.deepEqual(namesAt(table, 69), ['b'])
  assert.deepEqual(namesAt(table, -59), ['d'])
  assert.deepEqual(namesAt(table, 6), [])
})

test('against a plain list: growing, removing, and removing while walking', () => {
  const table = new ChainedTable<Entry>()
  const entries = Array.from({ length: 1_000 }, (_, i) => new Entry(Math.imul(i % 300, 0x9e37_79b1), `${i}`))
  for (const entry of entries) table.add(entry)
  assert.equal(table.size, 1_000)
  for (const entry of entries) assert.ok(namesAt(table, entry.hash).includes(entry.name))
  for (const entry of table) if (Number(entry.name) % 2) assert.equal(table.remove(entry), true)
  const left = entries.filter(({ name }) => Number(name) % 2 === 0)
  assert.deepEqual(new Set(table), new Set(left))
  assert.equal(table.size, 500)
  assert.equal(table.remove(entries[1]!), false, 'it stands there no more')
  assert.equal(table.size, 500)
})
