import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { caStatus } from '#broker/admin/ca-status.ts'
import type { Office } from '#broker/admin/office.ts'
import { Authority } from '#broker/identity/authority.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { days, instant, wallTime } from '#shared/time/instant.ts'

test("the root's list of revoked CAs: who has the key makes it anew at half its life; whose key is away is warned 60 days before its end", async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'adit-ca-status-'))
  t.after(() => rm(data, { recursive: true, force: true }))
  const begin = Date.UTC(2030, 0, 1)
  let now = begin
  const clock = { now: () => instant(0), wall: () => wallTime(now) }
  const registry = await Registry.open(data, { suite, clock, log: silentLog })
  t.after(() => registry.close())
  const authority = await Authority.openOrCreate(data, { suite, clock })
  const status = () => caStatus({ authority, registry, suite, clock } as unknown as Office)
  const listEnd = async () => (await status()).root.list?.until

  const first = await listEnd()
  now = begin + days(180)
  await authority.rotation.renewLists()
  assert.equal(await listEnd(), first, 'not half of its life is over')
  now = begin + days(190)
  await authority.rotation.renewLists()
  assert.notEqual(await listEnd(), first)
  assert.deepEqual((await status()).advice, [])

  const { rootFingerprint } = authority
  await authority.rotation.exportRoot('words')
  await authority.rotation.forgetRoot(Buffer.from(rootFingerprint).toString('hex'))
  const exported = now
  now = exported + days(366 - 61)
  await authority.rotation.renewLists()
  assert.deepEqual((await status()).advice, [])
  now = exported + days(366 - 59)
  const warned = await status()
  assert.equal(warned.due, true)
  assert.match(warned.advice.join(), /list of revoked CAs ends on 2031-.*ca request --role crl/)
  now = exported + days(400)
  assert.match((await status()).advice.join(), /list of revoked CAs ended on/)
})
