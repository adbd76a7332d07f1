import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import { bitString, element, octetString, oid, sequence, setOf, smallInteger, utf8String } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { algorithms, requestAttributes, tunnelKeyAttribute } from '#shared/pki/oids.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError, type PkiErrorCode } from '#shared/pki/pki-error.ts'
import { provePossession } from '#shared/pki/possession.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { createRequest, createStockRequest, verifyRequest, verifyStockRequest } from '#shared/pki/request.ts'

const enrolment = suite.x25519.generate()
const identity = suite.ecdsaP256.generate()
const tunnel = suite.x25519.generate()
const whole = createRequest({ name: 'pi', identity, tunnel: { pair: tunnel, enrolmentKey: enrolment.publicKey } }, suite)

function refusal(der: Uint8Array): PkiErrorCode | 'accepted' {
  try {
    verifyRequest(der, enrolment, suite)
    return 'accepted'
  } catch (error) {
    assert.ok(error instanceof PkiError, String(error))
    return error.code
  }
}

/** A request around any key and attributes, signed by whatever `signer` does. */
function build(
  spki: Uint8Array,
  signer: (body: Uint8Array) => Uint8Array,
  attributes: Uint8Array[] = [],
  algorithm: string = algorithms.ecdsaSha256,
): Uint8Array {
  const body = sequence(smallInteger(0), commonName('someone-else'), spki, element(0xa0, ...attributes))
  return sequence(body, sequence(oid(algorithm)), bitString(signer(body)))
}

const spki = p256Spki(identity.publicKey)
const bySelf = (body: Uint8Array): Uint8Array => suite.ecdsaP256.sign(identity, body)
const tunnelAttribute = (key: Uint8Array, mac: Uint8Array): Uint8Array =>
  sequence(oid(tunnelKeyAttribute), setOf(sequence(octetString(key), octetString(mac))))

test('our request proves both keys, to either provider', () => {
  for (const provider of [suite, nobleSuite]) {
    const verified = verifyRequest(whole, enrolment, provider)
    assert.deepEqual(verified, { spki, tunnelKey: tunnel.publicKey })
  }
  const plain = createRequest({ name: 'pi', identity }, suite)
  assert.deepEqual(verifyRequest(plain, enrolment, suite), { spki })
})

test('A-37 a huge key, a weak signature, a wrong curve and a bad self-signature are refused with their reason', () => {
  const spkiOf = (key: ReturnType<typeof generateKeyPairSync>['publicKey']): Uint8Array =>
    key.export({ type: 'spki', format: 'der' })
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const p224 = generateKeyPairSync('ec', { namedCurve: 'P-224' })
  const none = (): Uint8Array => new Uint8Array(64)
  assert.equal(refusal(build(spkiOf(rsa.publicKey), none)), 'key-unsupported')
  assert.equal(refusal(build(spkiOf(p384.publicKey), (body) => sign('sha256', body, p384.privateKey))), 'key-unsupported')
  assert.equal(refusal(build(spkiOf(p224.publicKey), none)), 'key-unsupported')
  const huge = sequence(
    sequence(oid(algorithms.rsaEncryption), element(5)),
    bitString(sequence(element(2, Uint8Array.of(1), new Uint8Array(17_000)))),
  )
  assert.equal(refusal(build(huge, none)), 'too-large')
  assert.equal(refusal(build(spki, bySelf, [], '1.2.840.10045.4.1')), 'algorithm-unsupported', 'ECDSA with SHA-1')
  assert.equal(refusal(build(spki, (body) => suite.ecdsaP256.sign(suite.ecdsaP256.generate(), body))), 'signature-invalid')
  assert.equal(refusal(build(spki, none)), 'signature-invalid')
  const offCurve = Uint8Array.from(spki)
  offCurve[offCurve.length - 1]! ^= 1
  assert.equal(refusal(build(offCurve, bySelf)), 'signature-invalid')
})

test('A-37 names and extensions that a request asks for leave no trace; a challenge is told, to be compared', () => {
  const asked = [
    sequence(oid('1.2.840.113549.1.9.7'), setOf(element(0x0c, Buffer.from('challenge')))),
    sequence(
      oid('1.2.840.113549.1.9.14'),
      setOf(sequence(sequence(oid('2.5.29.19'), octetString(sequence(element(1, Uint8Array.of(255))))))),
    ),
    sequence(oid('1.2.3.4'), element(0x31, Uint8Array.of(5, 0))),
  ]
  assert.deepEqual(verifyRequest(build(spki, bySelf, asked), enrolment, suite), { spki, challenge: 'challenge' })
})

test('the tunnel key must be proven, for this identity key and this CA', () => {
  const mac = provePossession(tunnel, enrolment.publicKey, spki, suite)
  assert.equal(refusal(build(spki, bySelf, [tunnelAttribute(tunnel.publicKey, mac)])), 'accepted')
  const wrong = Uint8Array.from(mac)
  wrong[31]! ^= 1
  assert.equal(refusal(build(spki, bySelf, [tunnelAttribute(tunnel.publicKey, wrong)])), 'possession-unproven')
  const other = suite.x25519.generate()
  assert.equal(refusal(build(spki, bySelf, [tunnelAttribute(other.publicKey, mac)])), 'possession-unproven')
  const forOtherIdentity = provePossession(tunnel, enrolment.publicKey, p256Spki(suite.ecdsaP256.generate().publicKey), suite)
  assert.equal(refusal(build(spki, bySelf, [tunnelAttribute(tunnel.publicKey, forOtherIdentity)])), 'possession-unproven')
  const forOtherCa = provePossession(tunnel, suite.x25519.generate().publicKey, spki, suite)
  assert.equal(refusal(build(spki, bySelf, [tunnelAttribute(tunnel.publicKey, forOtherCa)])), 'possession-unproven')
  assert.equal(
    refusal(build(spki, bySelf, [tunnelAttribute(new Uint8Array(32), new Uint8Array(32))])),
    'possession-unproven',
    'low order',
  )
  assert.equal(refusal(build(spki, bySelf, [tunnelAttribute(tunnel.publicKey.subarray(1), mac)])), 'request-malformed')
  const twice = [tunnelAttribute(tunnel.publicKey, mac), tunnelAttribute(other.publicKey, mac)]
  assert.equal(refusal(build(spki, bySelf, twice)), 'request-malformed')
})

test('a request cut at any length or bent in any bit gives a PkiError or nothing wrong', () => {
  for (let length = 0; length < whole.length; length++) assert.notEqual(refusal(whole.subarray(0, length)), 'accepted')
  for (let bit = 0; bit < whole.length * 8; bit += 5) {
    const bent = Uint8Array.from(whole)
    bent[bit >> 3]! ^= 1 << (bit & 7)
    assert.notEqual(refusal(bent), 'accepted', `bit ${bit}`)
  }
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

test('openssl reads our request and we read openssl’s', { skip: !hasOpenssl && 'openssl is not installed' }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'adit-request-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const run = (...words: string[]): string =>
    execFileSync('openssl', words, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  await writeFile(join(dir, 'own.der'), whole)
  assert.match(run('req', '-inform', 'DER', '-in', 'own.der', '-noout', '-verify', '-text'), /CN = pi/)
  await writeFile(join(dir, 'id.key'), encodePrivateKey('p256', identity))
  assert.equal(createPrivateKey(await readFile(join(dir, 'id.key'))).asymmetricKeyDetails?.namedCurve, 'prime256v1')
  run('req', '-new', '-key', 'id.key', '-subj', '/CN=x/O=y', '-addext', 'subjectAltName=DNS:evil', '-out', 'stock.pem')
  const [stock] = decodePem('CERTIFICATE REQUEST', await readFile(join(dir, 'stock.pem'), 'utf8'))
  assert.deepEqual(verifyRequest(stock!, enrolment, suite), { spki })
})

/** What generateKeyPairSync makes of each kind that stock IPsec peers may have. */
const stockKeys = {
  p256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed25519: () => generateKeyPairSync('ed25519'),
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
} as const
const hashes = { p256: 'sha256', p384: 'sha384', ed25519: undefined, rsa: 'sha256' } as const

test('requests of stock IPsec peers: every kind of key that we certify, ours and those of openssl; agents keep to P-256', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'adit-request-'))
  for (const kind of ['p256', 'p384', 'ed25519', 'rsa'] as const) {
    const { publicKey, privateKey } = stockKeys[kind]()
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const der = createStockRequest('plant-a', { spki, kind, sign: (body) => sign(hashes[kind], body, privateKey) })
    assert.deepEqual(verifyStockRequest(der), { spki, kind })
    assert.equal(refusal(der), kind === 'p256' ? 'accepted' : 'key-unsupported')
    const key = join(folder, `${kind}.key`)
    await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await writeFile(join(folder, 'ours.der'), der)
    execFileSync('openssl', ['req', '-inform', 'der', '-in', join(folder, 'ours.der'), '-verify', '-noout'], { stdio: 'pipe' })
    const theirs = execFileSync('openssl', ['req', '-new', '-key', key, '-subj', '/O=Else/CN=plant', '-outform', 'der'])
    assert.deepEqual(verifyStockRequest(new Uint8Array(theirs)), { spki, kind }, 'made by openssl')
    const forged = Uint8Array.from(der)
    forged[forged.length - 20]! ^= 1
    assert.throws(() => verifyStockRequest(forged), PkiError)
  }
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const spki = new Uint8Array(small.publicKey.export({ type: 'spki', format: 'der' }))
  const weak = createStockRequest('x', { spki, kind: 'rsa', sign: (body) => sign('sha256', body, small.privateKey) })
  assert.throws(() => verifyStockRequest(weak), { code: 'key-weak' })
  await rm(folder, { recursive: true })
})

test('a stated serial number and a challenge are told as they are, once each, and nothing else of the subject is', () => {
  const stated = createRequest({ name: 'pi', serial: '10000000abcdef01', identity }, suite)
  assert.deepEqual(verifyRequest(stated, enrolment, suite), { spki, statedSerial: '10000000abcdef01' })
  const challenge = (text: string): Uint8Array => sequence(oid(requestAttributes.challengePassword), setOf(utf8String(text)))
  const one = build(spki, bySelf, [challenge('dGxzLXVuaXF1ZQ==')])
  assert.deepEqual(verifyRequest(one, enrolment, suite), { spki, challenge: 'dGxzLXVuaXF1ZQ==' })
  assert.equal(refusal(build(spki, bySelf, [challenge('a'), challenge('a')])), 'request-malformed')
  assert.equal(refusal(build(spki, bySelf, [challenge('')])), 'request-malformed')
  assert.equal(refusal(build(spki, bySelf, [challenge('a'.repeat(256))])), 'request-malformed')
})
