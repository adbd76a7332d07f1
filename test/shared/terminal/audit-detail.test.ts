import assert from 'node:assert/strict'
import test from 'node:test'
import { auditDetail } from '#shared/terminal/audit-detail.ts'

test('moments in an audit row are read as such, numbers as numbers', () => {
  const at = Date.UTC(2026, 10, 23, 8, 40)
  const detail = { role: 'device', uses: 1, expiresAt: at, notAfter: at, until: at, tags: ['a'], name: undefined, endedAt: null }
  const iso = '2026-11-23T08:40:00.000Z'
  const text = `role=device uses=1 expiresAt=${iso} notAfter=${iso} until=${iso} tags=["a"] name=undefined endedAt=null`
  assert.equal(auditDetail(detail), text)
  assert.equal(auditDetail({ notAfter: 1e300 }), 'notAfter=1e+300')
})
