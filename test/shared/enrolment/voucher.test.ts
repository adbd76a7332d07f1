import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { issuerIdentifier } from '#shared/enrolment/idevid.ts'
import { openVoucher } from '#shared/enrolment/signed-voucher.ts'
import { decodeVoucher, encodeVoucher, type Voucher } from '#shared/enrolment/voucher.ts'
import { judgeVoucher, type VoucherReader } from '#shared/enrolment/voucher-rules.ts'
import { isAditError } from '#shared/errors.ts'
import { encodeSignedData } from '#shared/pki/cms-signed-data.ts'
import { cms } from '#shared/pki/oids.ts'
import { wallTime } from '#shared/time/instant.ts'
import fc from '#test/lab/properties.ts'
import { BuiltFactory, later, owner } from '#test/shared/enrolment/built-board.ts'
import { makeLeaf } from '#test/shared/pki/built-chain.ts'

const factory = new BuiltFactory()
const board = factory.board('sn1')
const aDay = 86_400_000

const reader = (wish: Partial<VoucherReader> = {}): VoucherReader => ({
  serial: 'sn1',
  idevidIssuer: issuerIdentifier(board.leaf),
  floor: wallTime(0),
  ...wish,
})

const digest = (voucher: Voucher): string => Buffer.from(suite.hash('sha256', encodeVoucher(voucher))).toString('hex')
const judge = (voucher: Voucher, wish: Partial<VoucherReader> = {}) => judgeVoucher(voucher, digest(voucher), reader(wish))

test('a voucher is read back as it was said, with every leaf', () => {
  const whole = factory.voucher({
    expiresOn: later(aDay),
    addresses: ['192.0.2.1', '2001:db8::1'],
    fleetKey: suite.random(32),
    api: ['https://a.example:8443', 'https://b.example'],
  })
  assert.deepEqual(decodeVoucher(encodeVoucher(whole)), whole)
  const nonced = factory.voucher({ nonce: suite.random(16), assertion: 'proximity' })
  assert.deepEqual(decodeVoucher(encodeVoucher(nonced)), nonced)
})

test('RFC 8366: the leaves have the names and encodings of the standard', () => {
  const { 'ietf-voucher:voucher': body } = JSON.parse(Buffer.from(encodeVoucher(factory.voucher())).toString())
  assert.equal(body['created-on'], '2026-07-01T00:00:00Z')
  assert.equal(body['serial-number'], 'sn1')
  assert.equal(body.assertion, 'verified')
  assert.equal(body['pinned-domain-cert'], Buffer.from(owner.certificate.der).toString('base64'))
  assert.equal(body['domain-cert-revocation-checks'], false)
  assert.deepEqual(body['adit-voucher:api'], ['https://broker.example:8443'])
})

test('a voucher with anything wrong in it is malformed, by a sentence and nothing else', () => {
  const { 'ietf-voucher:voucher': good } = JSON.parse(Buffer.from(encodeVoucher(factory.voucher())).toString())
  const leaf = Buffer.from(makeLeaf(owner).certificate.der).toString('base64')
  const broken: [string, unknown][] = [
    ['created-on', 'yesterday'],
    ['created-on', undefined],
    ['created-on', '2026-02-30'],
    ['expires-on', '2020-01-01T00:00:00Z'],
    ['nonce', 'AAAA'],
    ['nonce', 'not base64'],
    ['assertion', 'hearsay'],
    ['serial-number', 'SN1'],
    ['serial-number', '../../etc/passwd'],
    ['serial-number', 7],
    ['pinned-domain-cert', leaf],
    ['pinned-domain-cert', 'AAAA'],
    ['pinned-domain-cert', undefined],
    ['domain-cert-revocation-checks', true],
    ['adit-voucher:api', []],
    ['adit-voucher:api', ['http://broker.example']],
    ['adit-voucher:api', ['https://user:secret@broker.example']],
    ['adit-voucher:addresses', ['broker.example']],
    ['adit-voucher:fleet-key', 'AAAA'],
    ['last-renewal-date', '2027-01-01T00:00:00Z'],
    ['other:restriction', true],
  ]
  for (const [name, value] of broken) {
    const bytes = Buffer.from(JSON.stringify({ 'ietf-voucher:voucher': { ...good, [name]: value } }))
    assert.throws(() => decodeVoucher(bytes), { code: 'voucher-malformed' }, `${name}: ${value}`)
  }
  const twofold = Buffer.from(JSON.stringify({ 'ietf-voucher:voucher': good, 'ietf-voucher:other': good }))
  assert.throws(() => decodeVoucher(twofold), { code: 'voucher-malformed' })
  const both = { ...good, nonce: Buffer.alloc(16).toString('base64'), 'expires-on': '2030-01-01T00:00:00Z' }
  assert.throws(() => decodeVoucher(Buffer.from(JSON.stringify({ 'ietf-voucher:voucher': both }))), {
    message: /nonce and an end/,
  })
})

test('whatever the bytes, reading a voucher throws AditError or nothing', () => {
  const json = fc.json({ maxDepth: 3 }).map((text) => Buffer.from(`{"ietf-voucher:voucher":${text}}`))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), json), (bytes) => {
      try {
        decodeVoucher(bytes)
      } catch (error) {
        assert.ok(isAditError(error) && error.code === 'voucher-malformed', String(error))
      }
    }),
    { numRuns: 2_000, seed: 8366 },
  )
})

test('the first voucher of a board is taken; the same again changes nothing', () => {
  const voucher = factory.voucher()
  assert.equal(judge(voucher), 'new')
  const accepted = { createdOn: voucher.createdOn, digest: digest(voucher) }
  assert.equal(judge(voucher, { accepted }), 'again')
  assert.equal(judge(factory.voucher({ createdOn: later(1_000) }), { accepted }), 'new')
})

test('replayed: an older voucher than the one that is followed, from whomever', () => {
  const accepted = { createdOn: later(aDay), digest: '00' }
  assert.throws(() => judge(factory.voucher(), { accepted }), { code: 'voucher-replayed', message: /newer one/ })
  const nonce = suite.random(16)
  assert.throws(() => judge(factory.voucher({ nonce })), { code: 'voucher-replayed', message: /another request/ })
  assert.throws(() => judge(factory.voucher({ nonce }), { nonce: suite.random(16) }), { code: 'voucher-replayed' })
  assert.equal(judge(factory.voucher({ nonce }), { nonce }), 'new')
})

test('doubled: another voucher of the same moment', () => {
  const first = factory.voucher()
  const second = factory.voucher({ api: ['https://thief.example'] })
  const accepted = { createdOn: first.createdOn, digest: digest(first) }
  assert.throws(() => judge(second, { accepted }), { code: 'voucher-doubled' })
})

test('foreign: another serial number, or the same one by another maker', () => {
  assert.throws(() => judge(factory.voucher({ serial: 'sn2' })), { code: 'voucher-foreign', message: /another board/ })
  const other = new BuiltFactory().board('sn1')
  const voucher = factory.voucher({ idevidIssuer: issuerIdentifier(other.leaf) })
  assert.throws(() => judge(voucher), { code: 'voucher-foreign', message: /another maker/ })
})

test('expired: before the time floor, whatever a clock says; a board that woke in 1970 knows only what has passed', () => {
  const voucher = factory.voucher({ expiresOn: later(aDay) })
  assert.equal(judge(voucher, { floor: wallTime(0) }), 'new')
  assert.equal(judge(voucher, { floor: later(aDay) }), 'new')
  assert.throws(() => judge(voucher, { floor: later(aDay + 1) }), { code: 'voucher-expired', message: /2026-07-02/ })
  const accepted = { createdOn: voucher.createdOn, digest: digest(voucher) }
  assert.equal(judge(voucher, { floor: later(2 * aDay), accepted }), 'again', 'what was begun in time is ended')
})

test('A-33 a signed voucher is believed under its own maker, and under no other certificate of anybody', () => {
  const { voucher, digest: said } = openVoucher(factory.signed(), [factory.root.certificate], suite)
  assert.equal(voucher.serial, 'sn1')
  assert.equal(said, digest(factory.voucher()))
  const stranger = new BuiltFactory()
  assert.throws(() => openVoucher(stranger.signed(), [factory.root.certificate], suite), { code: 'voucher-foreign' })
  const content = encodeVoucher(factory.voucher())
  const signers = {
    'an IDevID': { certificate: board.leaf, pair: board.pair },
    'the IDevID CA': { certificate: factory.ca.certificate, pair: factory.ca.pair },
    'the root itself': { certificate: factory.root.certificate, pair: factory.root.pair },
    'the owner': { certificate: owner.certificate, pair: owner.pair },
  }
  for (const [who, signer] of Object.entries(signers)) {
    const certificates = [factory.ca.certificate.der]
    const forged = encodeSignedData({ contentType: cms.jsonVoucher, content, certificates }, signer, suite)
    assert.throws(() => openVoucher(forged, [factory.root.certificate], suite), { code: 'voucher-foreign' }, who)
  }
})

test('a signed voucher with any one bit changed is refused', () => {
  const signed = factory.signed()
  for (let i = 0; i < signed.length; i++) {
    const changed = Uint8Array.from(signed)
    changed[i]! ^= 1 << (i % 8)
    assert.throws(
      () => openVoucher(changed, [factory.root.certificate], suite),
      (error) => isAditError(error) && /^voucher-(malformed|foreign)$/.test(error.code),
      `byte ${i}`,
    )
  }
})
