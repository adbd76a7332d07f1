import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeSignedData, openSignedData } from '#shared/pki/cms-signed-data.ts'
import { element } from '#shared/pki/der-writer.ts'
import { cms, pkcs7 } from '#shared/pki/oids.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import fc from '#test/lab/properties.ts'
import { makeCa, makeLeaf, makeRoot } from '#test/shared/pki/built-chain.ts'

const root = makeRoot()
const ca = makeCa(root)
const leaf = makeLeaf(ca)
const content = Buffer.from('{"who":"owns this board"}')
const message = encodeSignedData(
  { contentType: cms.jsonVoucher, content, certificates: [ca.certificate.der] },
  { certificate: leaf.certificate, pair: leaf.pair },
  suite,
)

test('what was signed is read back, with who signed it and what came along', () => {
  const opened = openSignedData(message, suite)
  assert.equal(opened.contentType, cms.jsonVoucher)
  assert.deepEqual(Buffer.from(opened.content), content)
  assert.deepEqual(opened.signer.der, leaf.certificate.der)
  assert.deepEqual(
    opened.certificates.map(({ der }) => Buffer.from(der)),
    [leaf, ca].map(({ certificate }) => Buffer.from(certificate.der)),
  )
})

test('cut at any length, or with a byte too many, it is refused', () => {
  for (let length = 0; length < message.length; length++)
    assert.throws(() => openSignedData(message.subarray(0, length), suite), PkiError)
  assert.throws(() => openSignedData(Buffer.concat([message, Buffer.of(0)]), suite), PkiError)
})

test('with any one bit changed it is refused, but for certificates that the signature is not about', () => {
  const issuer = Buffer.from(ca.certificate.der)
  const at = Buffer.from(message).indexOf(issuer)
  const own = Buffer.from(message).indexOf(Buffer.from(leaf.certificate.der))
  for (let i = 0; i < message.length; i++) {
    const changed = Uint8Array.from(message)
    changed[i]! ^= 1 << (i % 8)
    try {
      const { content: read, signer } = openSignedData(changed, suite)
      assert.deepEqual(Buffer.from(read), content, `byte ${i}`)
      // What a certificate says besides its key is for the chain to judge.
      assert.deepEqual(Buffer.from(signer.spki), Buffer.from(leaf.spki), `byte ${i}`)
      const isCertificate = (i >= at && i < at + issuer.length) || (i >= own && i < own + leaf.certificate.der.length)
      assert.ok(isCertificate, `byte ${i} of ${message.length} is taken`)
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
    }
  }
})

test('whatever the bytes, it throws PkiError or nothing', () => {
  const mutated = fc
    .array(fc.tuple(fc.nat(message.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 12 })
    .map((changes) => {
      const bytes = Uint8Array.from(message)
      for (const [at, value] of changes) bytes[at] = value
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      try {
        assert.deepEqual(Buffer.from(openSignedData(bytes, suite).content), content)
      } catch (error) {
        assert.ok(error instanceof PkiError, String(error))
      }
    }),
    { numRuns: 2_000, seed: 20261122 },
  )
})

test('a signature by another key, over other content, or twice is refused by name', () => {
  const other = suite.ecdsaP256.generate()
  const forged = encodeSignedData(
    { contentType: cms.jsonVoucher, content },
    { certificate: leaf.certificate, pair: other },
    suite,
  )
  assert.throws(() => openSignedData(forged, suite), { code: 'signature-invalid' })
  const text = Buffer.from(message)
  const swapped = Uint8Array.from(message)
  swapped[text.indexOf(content) + 3]! ^= 1
  assert.throws(() => openSignedData(swapped, suite), { code: 'signature-invalid', message: /other content/ })
  const plain = encodeSignedData({ contentType: pkcs7.data, content }, { certificate: leaf.certificate, pair: leaf.pair }, suite)
  assert.equal(openSignedData(plain, suite).contentType, pkcs7.data)
  assert.throws(() => openSignedData(element(0x30, plain), suite), { code: 'der-malformed' })
})

function folder(t: TestContext): (name: string, text?: string | Uint8Array) => string {
  const path = mkdtempSync(join(tmpdir(), 'adit-cms-'))
  t.after(() => rmSync(path, { recursive: true }))
  writeFileSync(join(path, 'root.pem'), encodePem('CERTIFICATE', root.certificate.der))
  writeFileSync(join(path, 'ca.pem'), encodePem('CERTIFICATE', ca.certificate.der))
  writeFileSync(join(path, 'leaf.pem'), encodePem('CERTIFICATE', leaf.certificate.der))
  writeFileSync(join(path, 'leaf.key'), encodePrivateKey('p256', leaf.pair), { mode: 0o600 })
  return (name, text) => {
    if (text !== undefined) writeFileSync(join(path, name), text)
    return join(path, name)
  }
}

test('openssl cms -verify takes what we write, and refuses it changed', (t) => {
  const file = folder(t)
  const verify = (path: string): Buffer =>
    execFileSync(
      'openssl',
      ['cms', '-verify', '-inform', 'DER', '-in', path, '-CAfile', file('root.pem'), '-purpose', 'any', '-no_check_time'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
  assert.deepEqual(verify(file('ours.cms', message)), content)
  const swapped = Uint8Array.from(message)
  swapped[Buffer.from(message).indexOf(content) + 3]! ^= 1
  assert.throws(() => verify(file('changed.cms', swapped)))
})

test('we take what openssl cms -sign writes: by issuer or key identifier, and refuse other digests and detached ones', (t) => {
  const file = folder(t)
  const sign = (...more: string[]): Uint8Array => {
    const words = ['cms', '-sign', '-binary', '-outform', 'DER', '-in', file('content', content), '-out', file('theirs.cms')]
    execFileSync('openssl', [
      ...words,
      '-signer',
      file('leaf.pem'),
      '-inkey',
      file('leaf.key'),
      '-certfile',
      file('ca.pem'),
      ...more,
    ])
    return readFileSync(file('theirs.cms'))
  }
  for (const more of [[], ['-keyid'], ['-nosmimecap'], ['-econtent_type', cms.jsonVoucher]]) {
    const opened = openSignedData(sign('-nodetach', '-md', 'sha256', ...more), suite)
    assert.deepEqual(Buffer.from(opened.content), content)
    assert.deepEqual(Buffer.from(opened.signer.der), Buffer.from(leaf.certificate.der))
  }
  assert.throws(() => openSignedData(sign('-nodetach', '-md', 'sha512'), suite), { code: 'algorithm-unsupported' })
  assert.throws(() => openSignedData(sign('-md', 'sha256'), suite), {
    code: 'signed-data-malformed',
    message: /without what it is over/,
  })
  assert.throws(() => openSignedData(sign('-nodetach', '-md', 'sha256', '-nocerts'), suite), PkiError)
  assert.throws(() => openSignedData(sign('-nodetach', '-md', 'sha256', '-noattr'), suite), PkiError)
})
