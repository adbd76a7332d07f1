import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { days } from '#shared/time/instant.ts'
import { type Answer, ApiFixture, certificateIn, type Enrolled, keyPem } from '#test/broker/api/api-fixture.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { type OfflineUnit, offlineLine } from '#test/broker/stations/offline-line.ts'

const oneYear = days(365)

type Holder = Pick<Enrolled, 'identity' | 'tunnel' | 'key' | 'cert'>

const renew = (fixture: ApiFixture, as: Holder, keys: { identity: KeyPair; tunnel: KeyPair } = as): Promise<Answer> =>
  fixture.ask('/.well-known/est/simplereenroll', {
    method: 'POST',
    headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
    body: Buffer.from(fixture.request(keys)).toString('base64'),
    as,
  })

/** The same keys under the certificate of that answer. */
const under = (fixture: ApiFixture, device: Enrolled, answer: Answer): Enrolled => {
  assert.equal(answer.status, 200, String(answer.body))
  const der = certificateIn(answer)
  return { ...device, der, ...fixture.credentials('device', device.identity, der) }
}

const show = async (fixture: ApiFixture, as: Holder): Promise<number> => (await fixture.ask('/v1/agent/config', { as })).status

async function ratchet(fixture: ApiFixture, as: Holder): Promise<number> {
  const secret = () => Buffer.from(suite.random(32)).toString('base64')
  const body = JSON.stringify({ step: 0, present: secret(), next: secret(), hints: { cpu: 'a'.repeat(32) } })
  const headers = { 'content-type': 'application/json' }
  return (await fixture.ask('/v1/agent/ratchet', { method: 'POST', headers, body, as })).status
}

/** The exact reason of the last refusal, which nobody outside hears. */
async function inward(fixture: ApiFixture, answer: Answer): Promise<string> {
  assert.deepEqual([answer.status, answer.json.message], [403, 'The broker does not accept this certificate.'])
  await fixture.registry.audit.drained()
  const rows = (await fixture.registry.audit.query({ limit: 1_000 })).filter(({ action }) => action === 'api.refused')
  const newest = rows.reduce((one, other) => (other.id > one.id ? other : one))
  return (newest.detail as { reason: string }).reason
}

const returns = async (fixture: ApiFixture): Promise<string[]> => (await fixture.registry.lane.returns()).map(({ lane }) => lane)

test('F-31 the first certificate of a device that never renewed renews ten years later, on record as what it is', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  fixture.clock.forward(10 * oneYear)
  assert.equal(await show(fixture, device), 403, 'it may renew and do nothing else')
  const back = under(fixture, device, await renew(fixture, device))
  assert.equal(await show(fixture, back), 200)
  await eventually(async () => (await returns(fixture)).join() === 'shelf', 5_000, 'the return, on record')
  const rows = await fixture.registry.audit.query({ limit: 1_000 })
  const [audited] = rows.filter(({ action }) => action === 'lane.return')
  assert.equal((audited!.detail as { lane: string }).lane, 'shelf')
})

test('F-31 an answer that was lost is given again, until its certificate is shown: then the first one is an old copy', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  fixture.clock.forward(3 * oneYear)
  under(fixture, device, await renew(fixture, device))
  const back = under(fixture, device, await renew(fixture, device))
  assert.equal(await show(fixture, back), 200)
  const late = await renew(fixture, device)
  assert.match(
    await inward(fixture, late),
    /not from a shelf: its device has had another since 2032-12-31.*; adit-broker device readmit pi$/,
  )
  assert.equal((await renew(fixture, back)).status, 200, 'the device itself goes on')
})

test('F-31 of a device that was in service no certificate comes back beyond 400 days, the first one neither', async (t) => {
  const fixture = await ApiFixture.open(t)
  const first = await fixture.enrol('device', { name: 'pi' })
  fixture.clock.forward(days(21))
  const second = under(fixture, first, await renew(fixture, first))
  fixture.clock.forward(days(31 + 399))
  assert.equal((await renew(fixture, first)).status, 403)
  fixture.clock.forward(days(2))
  for (const copy of [first, second]) {
    const answer = await renew(fixture, copy)
    assert.match(
      await inward(fixture, answer),
      /expired more than 400 days ago, and is not from a shelf: its device has had another/,
    )
    assert.equal(await ratchet(fixture, copy), 403)
  }
  assert.deepEqual(await returns(fixture), [])
  await fixture.registry.lane.readmit(fixture.registry.devices.get('pi'), fixture.clock.wall() + days(1), 'admin:test')
  assert.equal((await renew(fixture, second)).status, 200, 'a person may say otherwise')
})

test('F-31 the shelf has an end of its own, can be closed, and is for devices that are not revoked', async (t) => {
  const fixture = await ApiFixture.open(t)
  const [old, off, revoked] = [
    await fixture.enrol('device', { name: 'old' }),
    await fixture.enrol('device', { name: 'off' }),
    await fixture.enrol('device', { name: 'gone' }),
  ]
  const operator = await fixture.enrol('operator', { name: 'ann' })
  await fixture.registry.devices.revoke('gone')
  fixture.clock.forward(days(30 + 3_999))
  assert.match(await inward(fixture, await renew(fixture, revoked)), /gone is revoked/)
  assert.match(await inward(fixture, await renew(fixture, operator)), /expired more than 400 days ago; /)
  const others = { identity: suite.ecdsaP256.generate(), tunnel: suite.x25519.generate() }
  assert.equal((await renew(fixture, off, others)).json.error, 'request-refused', 'its own keys alone')
  fixture.clock.forward(days(2))
  assert.match(
    await inward(fixture, await renew(fixture, old)),
    /expired more than 4000 days ago; adit-broker device readmit old$/,
  )
  fixture.clock.forward(days(-3_000))
  fixture.shelfDays = 0
  await fixture.api.close()
  await fixture.start()
  assert.match(await inward(fixture, await renew(fixture, off)), /expired more than 400 days ago; /)
})

test('P-18 the shelf is no way past the ratchet: a key that several hold stays shut, and a second holder is judged by it', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { clones, devices } = fixture.registry
  const [contested, copied] = [await fixture.enrol('device', { name: 'one' }), await fixture.enrol('device', { name: 'two' })]
  const spki = toHex(suite.hash('sha256', p256Spki(contested.identity.publicKey)))
  await clones.apply(devices.get('one'), { contest: { spki } })
  fixture.clock.forward(3 * oneYear)
  assert.match(await inward(fixture, await renew(fixture, contested)), /a copy of this device has the same key/)

  assert.equal(await show(fixture, under(fixture, copied, await renew(fixture, copied))), 200)
  assert.equal((await renew(fixture, copied)).status, 403, 'who comes second does not renew')
  assert.equal(await ratchet(fixture, copied), 200, 'but says who it is')
  fixture.clock.forward(days(401))
  assert.equal(await ratchet(fixture, copied), 403, 'for as long as the lane is')
})

const holderOf = ({ identity, tunnel, chain }: OfflineUnit): Holder => ({ identity, tunnel, key: keyPem(identity), cert: chain })

test('F-31 a unit of a line that never told of it comes ten years later; its CA has ended, what that hung of was rotated', async (t) => {
  const fixture = await ApiFixture.open(t)
  const line = await offlineLine(fixture)
  const sleeper = holderOf(line.make('unit-1'))
  for (const phase of ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const) {
    fixture.clock.forward(2 * oneYear)
    if (phase === 'prepared') await fixture.authority.rotation.prepare('device')
    else await fixture.authority.rotation.advance('device', phase)
  }
  const answer = await renew(fixture, sleeper)
  assert.equal(answer.status, 200, String(answer.body))
  await eventually(async () => (await returns(fixture)).join() === 'shelf', 5_000, 'the return, on record')
  assert.deepEqual(fixture.registry.devices.get('unit-1').expiresAt, parseCertificate(certificateIn(answer)).notAfter)
})

test('F-31 a unit sleeps while its line goes on for years, with new certificates for the CA that made it', async (t) => {
  const fixture = await ApiFixture.open(t)
  const line = await offlineLine(fixture)
  const sleeper = holderOf(line.make('unit-1'))
  for (let time = 0; time < 2; time++) {
    fixture.clock.forward(2 * oneYear)
    await fixture.authority.rotation.prepare('device')
    for (const phase of ['trusted', 'issuing', 'retired', 'finished'] as const) {
      fixture.clock.forward(days(1))
      await fixture.authority.rotation.advance('device', phase)
    }
    await line.renew(days(60))
    fixture.clock.forward(days(90))
  }
  assert.equal((await renew(fixture, sleeper)).status, 200)
})

test('F-31 what a line’s key makes after the line has told of everything is no unit of it', async (t) => {
  const fixture = await ApiFixture.open(t)
  const line = await offlineLine(fixture)
  fixture.clock.forward(days(31))
  await line.sync()
  fixture.clock.forward(3 * oneYear)
  const forged = await renew(fixture, holderOf(line.make('unit-2')))
  assert.match(await inward(fixture, forged), /station line-1 has told of all its units, and not of this one/)
  await fixture.registry.stations.revoke('line-1', false, 'admin:test')
  assert.match(await inward(fixture, await renew(fixture, holderOf(line.make('unit-3')))), /none of this fleet|no principal/)
})
