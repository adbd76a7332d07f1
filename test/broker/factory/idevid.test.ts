import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import test from 'node:test'
import { askForVoucher } from '#agent/io/ask-for-voucher.ts'
import { takeVouchers } from '#broker/factory/voucher-desk.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { signVoucherRequest } from '#shared/enrolment/voucher-request.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { ApiFixture, certificateIn } from '#test/broker/api/api-fixture.ts'
import { asBoard, makeBoard, own, voucherFor } from '#test/broker/factory/board-fixture.ts'
import { BuiltFactory, later } from '#test/shared/enrolment/built-board.ts'

const outward = { error: 'certificate-refused', message: 'The broker does not accept this certificate.' }

const enrol = (fixture: ApiFixture, as: { key: string; cert: string }, identity: KeyPair, tunnel?: KeyPair) =>
  fixture.ask('/.well-known/est/simpleenroll', {
    method: 'POST',
    headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
    body: Buffer.from(fixture.request({ identity, ...(tunnel && { tunnel }) })).toString('base64'),
    as,
  })

test('A-36 an IDevID opens one door: everywhere else it is worth no more than no certificate at all', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory)
  const { json: openapi } = await fixture.ask('/v1/openapi.json')
  const doors = Object.entries(openapi.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ path: path.replace(/\{\w+\}/g, 'x'), method: method.toUpperCase() })),
  )
  assert.ok(doors.length > 20, `${doors.length} routes`)
  let refused = 0
  for (const { path, method } of doors) {
    if (/simpleenroll$|requestvoucher$/.test(path)) continue
    const [as, nobody] = [await fixture.ask(path, { method, as: asBoard(board) }), await fixture.ask(path, { method })]
    assert.equal(as.status, nobody.status, `${method} ${path}`)
    if (as.status === 403) refused++
  }
  assert.ok(refused > 10, `${refused} routes refuse`)
})

test('A-36 the certificate that a board gets is an ordinary device’s, and its IDevID cannot renew', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory, {}, 'pump-{n}')
  const identity = suite.ecdsaP256.generate()
  const answer = await enrol(fixture, asBoard(board), identity)
  assert.equal(answer.status, 200, String(answer.body))
  const leaf = new X509Certificate(certificateIn(answer))
  assert.equal(leaf.subject, 'CN=pump-1')
  assert.equal(leaf.subjectAltName, 'URI:urn:adit:device:pump-1')
  const body = Buffer.from(fixture.request({ identity })).toString('base64')
  const headers = { 'content-type': 'application/pkcs10', accept: 'application/json' }
  const renewal = await fixture.ask('/.well-known/est/simplereenroll', { method: 'POST', headers, body, as: asBoard(board) })
  assert.equal(renewal.status, 403)
})

test('A-44 strangers, boards without a voucher and passed-on requests hear one sentence', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  await own(fixture, factory)
  const [known, unknown, foreign] = [
    await makeBoard(t, factory, 'sn1'),
    await makeBoard(t, factory, 'sn2'),
    await makeBoard(t, new BuiltFactory(), 'sn1'),
  ]
  const [registrarCert] = decodePem('CERTIFICATE', fixture.authority.tls.cert)
  const ask = (as: typeof known, said: { serial?: string; registrarCert?: Uint8Array; signer?: typeof known } = {}) => {
    const { board } = said.signer ?? as
    const content = {
      serial: said.serial ?? board.serial,
      nonce: suite.random(16),
      registrarCert: said.registrarCert ?? registrarCert!,
    }
    const body = signVoucherRequest(content, { certificate: board.leaf, pair: board.key }, board.issuers, suite)
    const headers = { 'content-type': 'application/voucher-cms+json', accept: 'application/json' }
    return fixture.ask('/.well-known/brski/requestvoucher', { method: 'POST', headers, body, as: asBoard(as) })
  }
  const answers = {
    'no voucher': await ask(unknown),
    'another maker': await ask(foreign),
    'another board’s request': await ask(unknown, { signer: known }),
    'another serial in it': await ask(known, { serial: 'sn2' }),
    'seen at another server': await ask(known, { registrarCert: factory.root.certificate.der }),
    'enrolment without a voucher': await enrol(fixture, asBoard(unknown), suite.ecdsaP256.generate()),
    'enrolment by another maker': await enrol(fixture, asBoard(foreign), suite.ecdsaP256.generate()),
  }
  for (const [who, { status, json }] of Object.entries(answers)) {
    assert.equal(status, 403, who)
    assert.deepEqual({ error: json.error, message: json.message }, outward, who)
    assert.deepEqual(json, answers['no voucher'].json, who)
  }
})

test('a board is given its voucher, and that is in the audit log', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  const cms = await own(fixture, factory)
  const { voucher } = await askForVoucher(fixture.api.url, board.board, board)
  assert.deepEqual(Buffer.from(voucher), Buffer.from(cms))
  const actions = (await fixture.registry.audit.query({})).map(({ action, subject }) => `${action} ${subject}`)
  assert.ok(actions.includes('voucher.hand board:sn1'))
  assert.ok(actions.includes('voucher.import board:sn1'))
  assert.ok(actions.some((action) => action.startsWith('factory.trust factory:')))
})

test('A-43 A-46 the same key finds its certificate again; another key of the board gets nothing while the device lives', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory, {}, 'pump')
  const [first, second] = [suite.ecdsaP256.generate(), suite.ecdsaP256.generate()]
  const given = certificateIn(await enrol(fixture, asBoard(board), first))
  assert.deepEqual(certificateIn(await enrol(fixture, asBoard(board), first)), given)
  assert.equal((await enrol(fixture, asBoard(board), second)).json.error, 'already-enrolled')
  // Another IDevID of the same serial number, as a maker gives a repaired board.
  const repaired = await makeBoard(t, factory, 'sn1')
  assert.equal((await enrol(fixture, asBoard(repaired), second)).json.error, 'already-enrolled')
  await assert.rejects(fixture.registry.vouchers.again('sn1', 'admin:test'), { code: 'already-enrolled' })
  await fixture.registry.devices.revoke('pump')
  assert.equal((await enrol(fixture, asBoard(repaired), second)).json.error, 'already-enrolled', 'revoked is no leave to return')
  await fixture.registry.vouchers.again('sn1', 'admin:test')
  assert.equal((await enrol(fixture, asBoard(board), first)).json.error, 'revoked', 'its old key stays dead')
  assert.equal((await enrol(fixture, asBoard(repaired), second)).status, 200)
  assert.equal(fixture.registry.devices.list().filter(({ revokedAt }) => revokedAt === undefined).length, 1)
})

test('P-19 one voucher is one device: 32 attempts at once, of two keys', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory)
  const keys = [suite.ecdsaP256.generate(), suite.ecdsaP256.generate()]
  const answers = await Promise.all(Array.from({ length: 32 }, (_, i) => enrol(fixture, asBoard(board), keys[i % 2]!)))
  const given = answers.filter(({ status }) => status === 200)
  assert.equal(given.length, 16)
  assert.equal(new Set(given.map(({ body }) => String(body))).size, 1)
  for (const { json } of answers.filter(({ status }) => status !== 200)) assert.equal(json.error, 'already-enrolled')
  assert.equal(fixture.registry.devices.list().length, 1)
})

test('names: from the serial number, from a pattern, and never one that is taken', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  await fixture.enrol('device', { name: 'pump-2' })
  const named: string[] = []
  for (const [serial, name] of [
    ['sn:7.a', undefined],
    ['sn1', 'pump-{n}'],
    ['sn2', 'pump-{n}'],
  ] as const) {
    const board = await makeBoard(t, factory, serial)
    await own(fixture, factory, { serial, createdOn: later(0) }, name)
    const answer = await enrol(fixture, asBoard(board), suite.ecdsaP256.generate())
    assert.equal(answer.status, 200, String(answer.body))
    named.push(new X509Certificate(certificateIn(answer)).subject)
  }
  assert.deepEqual(named, ['CN=sn-7-a', 'CN=pump-1', 'CN=pump-3'])
})

test('vouchers that are not for this fleet, not by a believed maker, ended, older or doubled are not taken in', async (t) => {
  const fixture = await ApiFixture.open(t)
  const [factory, stranger] = [new BuiltFactory(), new BuiltFactory()]
  await own(fixture, factory, { createdOn: later(60_000) })
  const take = (cms: Uint8Array) => takeVouchers({ ...fixture, suite }, [cms], {}, 'admin:test')
  await assert.rejects(take(factory.signed()), { code: 'voucher-foreign', message: /another fleet/ })
  await assert.rejects(take(stranger.signed(voucherFor(fixture))), { code: 'voucher-foreign' })
  await assert.rejects(take(factory.signed(voucherFor(fixture, { expiresOn: later(60_000) }))), { code: 'voucher-expired' })
  await assert.rejects(take(factory.signed(voucherFor(fixture, { nonce: suite.random(16) }))), { code: 'voucher-foreign' })
  await assert.rejects(take(factory.signed(voucherFor(fixture))), { code: 'voucher-replayed' })
  const doubled = voucherFor(fixture, { createdOn: later(60_000), api: ['https://other.example'] })
  await assert.rejects(take(factory.signed(doubled)), { code: 'voucher-doubled' })
  await assert.rejects(take(Buffer.from('no voucher')), { code: 'voucher-malformed' })
  const [listed, ...others] = await fixture.registry.vouchers.list()
  assert.equal(listed!.createdOn, later(60_000))
  assert.equal(others.length, 0)
})

test('a maker that is believed no longer opens nothing; a voucher that ended at the broker neither', async (t) => {
  const fixture = await ApiFixture.open(t)
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  await own(fixture, factory, { createdOn: later(0), expiresOn: later(4 * 365 * 86_400_000) })
  fixture.clock.forward(365 * 86_400_000)
  assert.equal((await enrol(fixture, asBoard(board), suite.ecdsaP256.generate())).json.error, 'voucher-expired')
  const fingerprint = fixture.registry.factories.all()[0]!.fingerprint
  await fixture.registry.factories.remove(fingerprint.slice(0, 16), 'admin:test')
  assert.equal((await enrol(fixture, asBoard(board), suite.ecdsaP256.generate())).json.error, 'certificate-refused')
  await assert.rejects(askForVoucher(fixture.api.url, board.board, board), { code: 'certificate-refused' })
})
