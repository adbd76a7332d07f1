import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { begin } from '#broker/clones/ratchet-line.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { days, wallTime } from '#shared/time/instant.ts'
import { Cli } from './cli-fixture.ts'

const cli = new Cli()
const spki = (fill: number): string => Buffer.alloc(32, fill).toString('hex')

/** A data folder with the device pi-1, whose certificate ended `expiredDays` ago, and so many copies of it. */
async function fleet(copies: number, expiredDays = -30): Promise<string> {
  const data = cli.fresh()
  // The folder with its authority, as the first command makes it.
  await cli.run('ca', 'show', '--data', data)
  await writeFile(join(data, 'config.toml'), 'public-api = ["https://broker.example.com:8443"]\n', { mode: 0o600 })
  // Enrolled for thirty days, in its time.
  const enrolledAt = wallTime(systemClock.wall() - days(expiredDays + 30))
  const clock = { now: () => systemClock.now(), wall: () => enrolledAt }
  const registry = await Registry.open(data, { suite, clock, log: silentLog })
  const { id, secret } = await registry.claims.create({ role: 'device', name: 'pi-1' })
  const { principal } = await registry.claims.redeem({
    id: Buffer.from(id).toString('hex'),
    secret: Buffer.from(secret),
    spkiSha256: spki(1),
  })
  const notAfter = enrolledAt + days(30)
  const certificate = {
    issuerHex: spki(9),
    serialHex: '4a',
    spkiSha256Hex: spki(1),
    der: new Uint8Array(4),
    notBefore: 0,
    notAfter,
  }
  await registry.certificates.record({ ...certificate, principalId: principal.id })
  for (let n = 0; n < copies; n++) {
    const contact = { step: 0, present: spki(20 + n), next: spki(40 + n), hints: { cpu: spki(60 + n) } }
    await registry.clones.apply(principal, {
      line: begin(contact),
      clone: {
        principalId: principal.id,
        spki: spki(1),
        ends: [contact.next],
        board: contact.hints,
        differing: ['cpu', 'card'],
        kept: 'holder',
        source: '192.0.2.7',
      },
      audit: { action: 'clone.found', detail: {} },
    })
  }
  await registry.close()
  return data
}

interface CloneRow {
  id: number
  device: string
  state: string
  name: string | null
}

test('P-18 copies are listed, shown, granted by one command, dismissed, and counted in the status', async () => {
  const data = await fleet(2)
  const list = (): Promise<CloneRow[]> => cli.json<CloneRow[]>('clones', 'list', '--data', data)
  assert.deepEqual(
    (await list()).map(({ id, device, state }) => [id, device, state]),
    [
      [1, 'pi-1', 'held'],
      [2, 'pi-1', 'held'],
    ],
  )
  assert.equal((await cli.json<{ clones: number }>('status', '--data', data)).clones, 2)
  const shown = await cli.run('clones', 'show', '1', '--data', data)
  assert.match(shown.out, /clones grant 1 --name NEW/)
  assert.match(shown.out, /192\.0\.2\.7/)

  const granted = await cli.json<CloneRow>('clones', 'grant', '1', '--name', 'pi-2', '--data', data)
  assert.deepEqual([granted.state, granted.name, 'claim' in granted], ['granted', 'pi-2', false])
  assert.equal((await cli.json<CloneRow>('clones', 'dismiss', '2', '--data', data)).state, 'dismissed')
  assert.equal((await cli.json<{ clones: number }>('status', '--data', data)).clones, 0)

  const twice = await cli.run('clones', 'dismiss', '2', '--data', data)
  assert.notEqual(twice.status, 0)
  assert.match(twice.err, /decided already/)
  for (const words of [
    ['show', '7'],
    ['grant', 'x', '--name', 'pi-3'],
    ['grant', '2'],
  ])
    assert.notEqual((await cli.run('clones', ...words, '--data', data)).status, 0)
})

test('F-31 the lane lists who is expired, since when and until when; one command lets a device back in', async () => {
  const data = await fleet(0, 500)
  interface Lane {
    days: number
    shelfDays: number
    waiting: { name: string; lane: string; open: boolean; readmitted: string | null }[]
    returned: object[]
  }
  const lane = (): Promise<Lane> => cli.json<Lane>('lane', 'list', '--data', data)
  const spare = await lane()
  assert.deepEqual([spare.shelfDays, spare.waiting[0]?.lane, spare.waiting[0]?.open], [4_000, 'shelf', true])
  assert.match((await cli.run('lane', 'list', '--data', data)).out, /first certificate: within 4000 days/)
  await writeFile(join(data, 'config.toml'), '[enrolment]\nshelf-days = 0\n', { mode: 0o600 })
  const before = await lane()
  assert.deepEqual([before.days, before.waiting[0]?.name, before.waiting[0]?.open, before.returned], [400, 'pi-1', false, []])
  assert.match((await cli.run('lane', 'list', '--data', data)).out, /adit-broker device readmit pi-1/)
  await cli.json('device', 'readmit', 'pi-1', '--for', '90d', '--data', data)
  const after = await lane()
  assert.deepEqual([after.waiting[0]?.lane, after.waiting[0]?.open], ['readmitted', true])
  assert.notEqual(after.waiting[0]?.readmitted, null)
  assert.notEqual((await cli.run('device', 'readmit', 'nobody', '--data', data)).status, 0)
  await writeFile(join(data, 'config.toml'), '[enrolment]\nrenew-days = 600\n', { mode: 0o600 })
  assert.equal((await lane()).days, 600)
})
