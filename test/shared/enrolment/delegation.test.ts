import assert from 'node:assert/strict'
import test from 'node:test'
import { checkUnitNames, decodeScope, encodeScope, isNameWithin, numberIn, stemOf } from '#shared/enrolment/delegation.ts'
import { expandPattern } from '#shared/enrolment/name.ts'
import { SeededRandom } from '#sim/seeded-random.ts'

const patterns = ['pump-{n}', 'pump-####', '{n}', 'a{n}b', 'line-7-###-x', 'x9{n}']

test('the number of a name is the one that made it, and no other text has one', () => {
  const random = new SeededRandom(1)
  for (const names of patterns)
    for (let round = 0; round < 200; round += 1) {
      const n = 1 + Math.floor(random.next() * 10 ** (1 + Math.floor(random.next() * 9)))
      if (n > 999_999_999) continue
      assert.equal(numberIn(names, expandPattern(names, n)), n)
    }
  for (const name of ['pump-0', 'pump-01', 'pump-', 'pump-x', 'xpump-1', 'pump-1x', 'pump--1', 'pump-1234567890'])
    assert.equal(numberIn('pump-{n}', name), undefined, name)
  assert.equal(numberIn('pump-####', 'pump-0007'), 7)
  assert.equal(numberIn('pump-####', 'pump-7'), undefined)
})

test('patterns that can make one name have one stem', () => {
  const random = new SeededRandom(2)
  const many = [
    'pump-{n}',
    'pump-1{n}',
    'pump-###',
    'pump-{n}0',
    'pump-{n}-a',
    'pump{n}',
    '{n}',
    '1{n}',
    '{n}-2',
    'a{n}',
    'a{n}1b',
    'a{n}b',
  ]
  for (const one of many)
    for (const other of many) {
      const names = new Set(Array.from({ length: 400 }, (_, n) => expandPattern(one, n + 1)))
      const meet = Array.from({ length: 400 }, () => expandPattern(other, 1 + Math.floor(random.next() * 4_000))).some((name) =>
        names.has(name),
      )
      if (meet) assert.equal(stemOf(one), stemOf(other), `${one} and ${other}`)
    }
  assert.notEqual(stemOf('pump-{n}'), stemOf('gauge-{n}'))
})

test('a scope is read as it was written; a cut or a changed one is none', () => {
  const scope = { station: 'line-1', names: 'pump-{n}', first: 501, last: 1000, quota: 500, tags: ['pumps', 'site:oslo'] }
  const der = encodeScope(scope)
  assert.deepEqual(decodeScope(der), scope)
  for (let length = 0; length < der.length; length += 1)
    assert.throws(() => decodeScope(der.subarray(0, length)), `cut at ${length}`)
  assert.throws(() => decodeScope(Uint8Array.from([...der, 0])))
  for (const bad of [
    { first: 0 },
    { first: 1001 },
    { quota: 0 },
    { quota: 1_000_001 },
    { last: 1_000_000_000 },
    { names: 'pump' },
  ])
    assert.throws(() => decodeScope(encodeScope({ ...scope, ...bad })), JSON.stringify(bad))
})

test('a name is within its delegation by pattern and by number', () => {
  const scope = { station: 'line-1', names: 'pump-{n}', first: 501, last: 1000, quota: 500, tags: [] }
  assert.deepEqual(
    ['pump-500', 'pump-501', 'pump-1000', 'pump-1001', 'gauge-501'].map((name) => isNameWithin(scope, name)),
    [false, true, true, false, false],
  )
  assert.throws(() => checkUnitNames('pump'), { code: 'name-invalid' })
  assert.equal(checkUnitNames('PUMP-{n}'), 'pump-{n}')
})
