import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pairFigures } from './figures.ts'
import { Results } from './results.ts'
import { tableOf } from './table.ts'

test('medians with least and most, ratios of medians to wireguard-go, bars met and missed', () => {
  const results = new Results('pair', pairFigures)
  for (const value of [0.5, 0.7, 0.6]) results.add('wireguard-go', { 'tcp 1 a-to-b': value, 'cpu sender a-to-b': 10 })
  for (const value of [4, 3, 2.9]) results.add('adit-esp', { 'tcp 1 a-to-b': value, 'cpu sender a-to-b': 1.5, 'resident a': 71 })
  const rows = results.rows.filter(({ contender }) => contender === 'adit-esp')
  const told = rows.map(({ figure, median, min, max, bar }) => [figure, median, min, max, bar?.met])
  assert.deepEqual(told, [
    ['tcp 1 a-to-b', 3, 2.9, 4, false],
    ['cpu sender a-to-b', 1.5, 1.5, 1.5, true],
    ['resident a', 71, 71, 71, false],
  ])
  assert.ok(Math.abs(rows[0]!.ratio! - 5) < 1e-9)
  assert.match(tableOf(results.rows), /adit-esp +3 +2\.9 \.\. 4 +5 times +bar >= 6 times: MISSED/)
})

test('without wireguard-go there is no ratio, and its bars are neither met nor missed', () => {
  const results = new Results('pair', pairFigures)
  results.add('adit-noise', { 'tcp 1 a-to-b': 3 })
  const [row] = results.rows
  assert.equal(row?.ratio, undefined)
  assert.equal(row?.bar?.met, undefined)
})
