import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import type { Line } from '#broker/identity/succession.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { writePeerLeaf } from '#shared/pki/peer-leaf.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { days, wallTime } from '#shared/time/instant.ts'
import { HandClock } from '#test/broker/api/api-fixture.ts'
import { codeOfRefusal } from '#test/broker/identity/refusal.ts'

const oneYear = days(365)
const begin = wallTime(Date.UTC(2026, 5, 1))
const newPair = () => suite.ecdsaP256.generate()

async function authorityIn2026(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'adit-sleeper-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const clock = new HandClock()
  clock.ms = begin
  const open = (): Promise<Authority> => Authority.openOrCreate(dir, { suite, clock })
  return { clock, open, authority: await open() }
}

/** Through all phases, one a day; `compromised`: whether the former one's key is in strange hands. */
async function rotate(authority: Authority, line: Line, clock: HandClock, compromised = false): Promise<void> {
  await authority.rotation.prepare(line)
  for (const step of ['trusted', 'issuing', 'retired', 'finished'] as const) {
    clock.forward(days(1))
    await authority.rotation.advance(line, step, step === 'retired' ? { compromised } : {})
  }
}

const mayRenew = (authority: Authority, leaf: Uint8Array, clock: HandClock): boolean => {
  const { expired, role } = authority.verifyPeer([leaf], clock.wall(), { allowExpiredDays: 4_000 })
  return expired && role === 'device'
}

test('F-31 ten years asleep, its CA and its root rotated twice meanwhile: the certificate is judged by what was so in its own time', async (t) => {
  const { clock, open, authority } = await authorityIn2026(t)
  const spki = p256Spki(newPair().publicKey)
  const leaf = (await authority.issue({ role: 'device', name: 'pi', spki })).der
  for (const line of ['root', 'device', 'root', 'device'] as const) {
    clock.forward(2 * oneYear)
    await rotate(authority, line, clock)
    assert.ok(mayRenew(authority, leaf, clock), `after the ${line}`)
    assert.ok(mayRenew(await open(), leaf, clock), `after the ${line}, from the disk`)
  }
  assert.equal(
    codeOfRefusal(() => authority.verifyPeer([leaf], clock.wall())),
    'issuer-unknown',
    'and is good for nothing else',
  )
})

test('F-31 a station’s unit ten years later: the CA of the station has ended, what it hangs of was rotated', async (t) => {
  const { clock, authority } = await authorityIn2026(t)
  const station = newPair()
  const scope = {
    station: 'line-1',
    names: 'unit-{n}',
    first: 1,
    last: 9,
    quota: 9,
    tags: [],
    notBefore: begin,
    notAfter: wallTime(begin + days(30)),
  }
  const certificate = parseCertificate(authority.issueDelegate(scope, p256Spki(station.publicKey)))
  const above = [authority.caOf('device').certificate]
  const unit = {
    role: 'device',
    name: 'unit-1',
    spki: p256Spki(newPair().publicKey),
    notBefore: begin,
    notAfter: certificate.notAfter,
  } as const
  const leaf = writePeerLeaf({ certificate, pair: station }, unit, suite)
  authority.issuers.add({ role: 'device', certificate, above })
  for (const line of ['root', 'device'] as const) {
    clock.forward(5 * oneYear)
    await rotate(authority, line, clock)
    assert.ok(mayRenew(authority, leaf, clock), `after the ${line}`)
  }
})

test('F-31 what a CA signed whose key is in strange hands may not even renew, however long it slept', async (t) => {
  const { clock, authority } = await authorityIn2026(t)
  const leaf = (await authority.issue({ role: 'device', name: 'pi', spki: p256Spki(newPair().publicKey) })).der
  clock.forward(oneYear)
  await rotate(authority, 'device', clock, true)
  assert.throws(() => authority.verifyPeer([leaf], clock.wall(), { allowExpiredDays: 4_000 }), { code: 'certificate-refused' })
})
