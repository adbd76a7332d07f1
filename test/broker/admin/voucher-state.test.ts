import assert from 'node:assert/strict'
import test from 'node:test'
import { voucherState } from '#broker/admin/operations/factory.ts'
import { wallTime } from '#shared/time/instant.ts'

test('a voucher whose device was revoked is not shown as one that is enrolled', () => {
  const principalId = 7
  assert.equal(voucherState({ principalId, expiresOn: undefined }, false, 1_000), 'enrolled')
  assert.equal(voucherState({ principalId, expiresOn: undefined }, true, 1_000), 'ended')
  assert.equal(voucherState({ principalId: undefined, expiresOn: undefined }, false, 1_000), 'waiting')
  assert.equal(voucherState({ principalId: undefined, expiresOn: wallTime(999) }, false, 1_000), 'expired')
})
