import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { migrate } from '#broker/registry/migrations/migrate.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { makePrivateDirectory } from '#shared/platform/files.ts'
import { silentLog } from '#shared/platform/log.ts'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { queryBuilder } from '#shared/platform/sqlite-dialect.ts'
import { ManualClock, randomHex } from '#test/broker/registry/registry-fixture.ts'

const secret = nativeSuite.random(16)
const spki = randomHex(32)
const tunnelKey = randomHex(32)

/** The database as the first release left it: a fleet of one device that enrolled by a claim, and a grant. */
async function firstRelease(folder: string): Promise<void> {
  await makePrivateDirectory(folder)
  const database = await openDatabase(join(folder, 'adit.db'))
  await migrate(queryBuilder<unknown>(database), '0001-first')
  const write = (sql: string, ...values: (number | string | Uint8Array | null)[]) => database.write(sql, values)
  await write(`INSERT INTO settings VALUES ('fleet.prefix', 'fd01:203:405::/48')`)
  await write(
    `INSERT INTO principals VALUES (7, ?, 'device', 'old', 0, 0, 'fd01:203:405::9', 1681915905, 1000, 4000000000000, NULL)`,
    randomHex(16),
  )
  await write(`INSERT INTO keys VALUES ('identity', ?, 7, 1000, NULL)`, spki)
  await write(`INSERT INTO keys VALUES ('tunnel', ?, 7, 1000, NULL)`, tunnelKey)
  await write(`INSERT INTO tags VALUES (7, 'site:oslo')`)
  await write(
    `INSERT INTO claims VALUES ('00112233aabbccdd', ?, 'device', 'old', 0, 1, 1, '[]', '[]', 0, 1000, 4000000000000, NULL)`,
    nativeSuite.hash('sha256', secret),
  )
  await write(`INSERT INTO claim_uses VALUES ('00112233aabbccdd', ?, ?, 7, 1000)`, spki, tunnelKey)
  const row = `INSERT INTO certificates VALUES ('aa', ?, 7, ?, ?, 1000, 4000000000000, 1000, ?, NULL)`
  await write(row, '01', spki, Uint8Array.of(1, 2, 3), '00112233aabbccdd')
  await write(row, '02', spki, Uint8Array.of(4, 5, 6), null)
  await write(`INSERT INTO grants VALUES (1, '["ann"]', '[]', '[]', '["old"]', '[[22,22]]', NULL, 1000, NULL)`)
  await database.close()
}

test('a registry of the first release is brought up to date with what it held', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-first-'))
  await firstRelease(join(folder, 'data'))
  const clock = new ManualClock()
  const registry = await Registry.open(join(folder, 'data'), { clock, suite: nativeSuite, log: silentLog })
  try {
    const device = registry.directory.byName('device', 'old')
    assert.deepEqual([device?.tags, device?.identityKeys, device?.tunnelKey], [['site:oslo'], [spki], tunnelKey])
    assert.deepEqual((await registry.grants.list())[0]?.to, [])
    assert.deepEqual(
      (await registry.certificates.list(7)).map(({ serialHex, right }) => [serialHex, right]),
      [
        ['01', 'claim:00112233aabbccdd'],
        ['02', undefined],
      ],
    )
    // A claim that was used under the old schema stays used, and gives its key the same certificate for ever.
    const again = { id: '00112233aabbccdd', secret, spkiSha256: spki, tunnelKey }
    assert.deepEqual((await registry.claims.redeem(again)).certificate, Uint8Array.of(1, 2, 3))
    await assert.rejects(registry.claims.redeem({ ...again, spkiSha256: randomHex(32), tunnelKey: randomHex(32) }), {
      code: 'claim-used',
    })
  } finally {
    await registry.close()
    rmSync(folder, { recursive: true })
  }
})
