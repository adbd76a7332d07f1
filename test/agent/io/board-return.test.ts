import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { followVoucher } from '#agent/io/board-owner.ts'
import { Identity } from '#agent/io/identity.ts'
import { readVoucherLedger, writeVoucherLedger } from '#agent/io/voucher-ledger.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { days } from '#shared/time/instant.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'
import { makeBoard, own } from '#test/broker/factory/board-fixture.ts'
import { BuiltFactory } from '#test/shared/enrolment/built-board.ts'

/** A board that was in service as `pump`, and then slept beyond every lane. */
async function sleeper(t: TestContext) {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await followVoucher(await own(fixture, factory, {}, 'pump'), board)
  const identity = (await Identity.load(board.folder, { suite, clock: fixture.clock, log: silentLog }))!
  t.after(() => identity.close())
  fixture.clock.forward(days(21))
  await identity.renew()
  fixture.clock.forward(days(1_000))
  return { fixture, identity, path: board.folder.path, before: identity.leaf.notAfter }
}

test('F-31 refused by every lane a board is renewed by its IDevID, with the keys that it has', async (t) => {
  const { fixture, identity } = await sleeper(t)
  const key = identity.keys.identity.publicKey
  await identity.renew()
  assert.ok(identity.leaf.notAfter > fixture.clock.ms)
  assert.deepEqual(identity.keys.identity.publicKey, key)
})

test('A-43 what the broker refuses is refused as before: the identity of a revoked device stays as it is, and hears one sentence', async (t) => {
  const { fixture, identity, before } = await sleeper(t)
  await fixture.registry.devices.revoke('pump')
  await assert.rejects(identity.renew(), { code: 'certificate-refused' })
  assert.equal(identity.leaf.notAfter, before)
})

test('a board that no voucher has led here, or is about to be led away, does not ask', async (t) => {
  const { identity, path, before } = await sleeper(t)
  const ledger = (await readVoucherLedger(path))!
  await writeVoucherLedger(path, { ...ledger, stage: 'leaving' })
  await assert.rejects(identity.renew(), { code: 'certificate-refused' })
  assert.equal(identity.leaf.notAfter, before)
})
