import assert from 'node:assert/strict'
import test from 'node:test'
import { obstacleTo } from '#agent/station/core/unit-words.ts'

test('what stands in the way of another unit is said with the name of the station in its mend', () => {
  const count = { station: 'line-1', quotaLeft: 3, until: 1_000 }
  assert.equal(obstacleTo(count, 5, 999), undefined)
  const over = obstacleTo(count, 5, 1_000)
  assert.equal(over?.code, 'delegation-over')
  assert.match(over.mend, /adit-broker station extend line-1 --ttl 30d/)
  const used = obstacleTo({ ...count, quotaLeft: 0 }, 5, 999)
  assert.equal(used?.code, 'quota-exhausted')
  assert.match(used.mend, /adit-broker station extend line-1 --quota N/)
})
