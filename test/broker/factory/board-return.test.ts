import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { days, wallTime } from '#shared/time/instant.ts'
import { type Answer, ApiFixture, certificateIn, type Enrolled } from '#test/broker/api/api-fixture.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { asBoard, makeBoard, own } from '#test/broker/factory/board-fixture.ts'
import { BuiltFactory } from '#test/shared/enrolment/built-board.ts'

const tenYears = days(3_650)

type Keys = Pick<Enrolled, 'identity' | 'tunnel'>
const newKeys = (): Keys => ({ identity: suite.ecdsaP256.generate(), tunnel: suite.x25519.generate() })

/** A board that has become the device `pump`. */
async function pump(t: TestContext) {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory, {}, 'pump')
  const headers = { 'content-type': 'application/pkcs10', accept: 'application/json' }
  const ask = (keys: Keys, path: string, as: { key: string; cert: string }): Promise<Answer> => {
    const body = Buffer.from(fixture.request(keys)).toString('base64')
    return fixture.ask(`/.well-known/est/${path}`, { method: 'POST', headers, body, as })
  }
  const keys = newKeys()
  const byIdevid = (of = keys): Promise<Answer> => ask(of, 'simpleenroll', asBoard(board))
  const under = (der: Uint8Array) => fixture.credentials('device', keys.identity, der)
  const renew = (der: Uint8Array): Promise<Answer> => ask(keys, 'simplereenroll', under(der))
  const show = async (der: Uint8Array): Promise<number> => (await fixture.ask('/v1/agent/config', { as: under(der) })).status
  const isLiving = (answer: Answer): boolean =>
    answer.status === 200 && parseCertificate(certificateIn(answer)).notAfter > fixture.clock.ms
  const first = certificateIn(await byIdevid())
  return { fixture, keys, byIdevid, renew, show, isLiving, first }
}

test('F-31 a board comes back beyond every lane by its IDevID and the keys of its device; a lost answer is given again', async (t) => {
  const { fixture, byIdevid, renew, show, first } = await pump(t)
  fixture.clock.forward(days(21))
  const second = certificateIn(await renew(first))
  fixture.clock.forward(tenYears + days(800))
  assert.equal((await renew(second)).status, 403)
  const third = certificateIn(await byIdevid())
  assert.ok(parseCertificate(third).notAfter > fixture.clock.ms)
  assert.deepEqual(certificateIn(await byIdevid()), third, 'the answer was lost')
  assert.equal(await show(third), 200)
  const { lane } = fixture.registry
  await eventually(async () => (await lane.returns()).map((back) => back.lane).join() === 'board', 5_000, 'the return, on record')
  assert.equal((await renew(third)).status, 200, 'and is a device like any other')
})

test('P-18 of a device that is in service a board has nothing by an old key, nor by the IDevID alone', async (t) => {
  const { fixture, byIdevid, renew, show, isLiving, first } = await pump(t)
  fixture.clock.forward(days(21))
  const second = certificateIn(await renew(first))
  fixture.clock.forward(days(10))
  assert.equal(await show(second), 200)
  assert.deepEqual(certificateIn(await byIdevid()), first, 'what it had at first, and has ended')
  assert.equal((await byIdevid(newKeys())).json.error, 'already-enrolled')
  fixture.clock.forward(tenYears)
  assert.equal((await byIdevid(newKeys())).json.error, 'already-enrolled', 'asleep neither')
  const third = await byIdevid()
  assert.ok(isLiving(third))
  assert.equal(await show(certificateIn(third)), 200)
  fixture.clock.forward(days(25))
  assert.equal((await renew(certificateIn(third))).status, 200)
  fixture.clock.forward(days(10))
  assert.ok(!isLiving(await byIdevid()), 'it is in service again')
})

test('A-43 boards stay out whose device was revoked, whose voucher was taken away, or whose keys several hold', async (t) => {
  const cases: Record<string, [(at: Awaited<ReturnType<typeof pump>>) => Promise<unknown>, RegExp]> = {
    revoked: [({ fixture }) => fixture.registry.devices.revoke('pump'), /^revoked$/],
    'of another owner by now': [({ fixture }) => fixture.registry.vouchers.remove('sn1', 'admin:test'), /^certificate-refused$/],
    'of a maker that is believed no more': [
      ({ fixture }) => fixture.registry.factories.remove(fixture.registry.factories.all()[0]!.fingerprint, 'admin:test'),
      /^certificate-refused$/,
    ],
  }
  for (const [what, [happens, code]] of Object.entries(cases)) {
    const at = await pump(t)
    await happens(at)
    at.fixture.clock.forward(tenYears)
    const answer = await at.byIdevid()
    assert.match(String(answer.json?.error), code, what)
  }
  const { fixture, keys, byIdevid, isLiving } = await pump(t)
  const spki = toHex(suite.hash('sha256', p256Spki(keys.identity.publicKey)))
  await fixture.registry.clones.apply(fixture.registry.devices.get('pump'), { contest: { spki } })
  fixture.clock.forward(tenYears)
  assert.ok(!isLiving(await byIdevid()), 'contested')
})

test('a certificate that was revoked by itself leads nowhere; a voucher that has ended since is no hindrance', async (t) => {
  const at = await pump(t)
  const { issuerHex, serialHex } = (await at.fixture.registry.certificates.list(at.fixture.registry.devices.get('pump').id))[0]!
  await at.fixture.registry.certificates.revoke(issuerHex, serialHex)
  at.fixture.clock.forward(tenYears)
  assert.ok(!at.isLiving(await at.byIdevid()))

  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory, { expiresOn: wallTime(fixture.clock.ms + days(60)) }, 'pump')
  const keys = newKeys()
  const ask = () =>
    fixture.ask('/.well-known/est/simpleenroll', {
      method: 'POST',
      headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
      body: Buffer.from(fixture.request(keys)).toString('base64'),
      as: asBoard(board),
    })
  assert.equal((await ask()).status, 200)
  fixture.clock.forward(tenYears)
  assert.ok(parseCertificate(certificateIn(await ask())).notAfter > fixture.clock.ms)
})
