import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { channelHeaders, proveChannel, readChannelProof } from '#shared/pki/channel-proof.ts'
import { makeLeaf, makeRoot } from './built-chain.ts'

const root = makeRoot()
const leaf = makeLeaf(root)
const chain = [leaf.certificate.der, root.certificate.der]
const exporter = new Uint8Array(32).fill(7)

const proven = (key = leaf.pair, by: readonly Uint8Array[] = chain): { chain: string; proof: string } => {
  const headers = proveChannel({ key, chain: by }, exporter, suite)
  return { chain: headers[channelHeaders.chain]!, proof: headers[channelHeaders.proof]! }
}

test('what was proven is read back: the chain, leaf first', () => {
  assert.deepEqual(
    readChannelProof(proven(), exporter, suite),
    chain.map((der) => Uint8Array.from(der)),
  )
})

test('a token proves as a key in a file does', () => {
  const token = { publicKey: leaf.pair.publicKey, sign: (message: Uint8Array) => suite.ecdsaP256.sign(leaf.pair, message) }
  const headers = proveChannel({ key: token, chain }, exporter, suite)
  assert.equal(
    readChannelProof({ chain: headers[channelHeaders.chain]!, proof: headers[channelHeaders.proof]! }, exporter, suite).length,
    2,
  )
})

test('a proof is of one connection: any other exporter refuses it', () => {
  const { chain, proof } = proven()
  for (let bit = 0; bit < 256; bit++) {
    const other = Uint8Array.from(exporter)
    other[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => readChannelProof({ chain, proof }, other, suite), { code: 'signature-invalid' })
  }
})

test('a proof is of one certificate and by its key', () => {
  const other = makeLeaf(root)
  assert.throws(
    () => readChannelProof({ ...proven(), chain: proven(other.pair, [other.certificate.der]).chain }, exporter, suite),
    {
      code: 'signature-invalid',
    },
  )
  assert.throws(() => readChannelProof(proven(other.pair), exporter, suite), { code: 'signature-invalid' })
  // Another certificate of the same key: its name might be another.
  const again = makeLeaf(root, { pair: leaf.pair })
  assert.throws(
    () => readChannelProof({ ...proven(), chain: proven(leaf.pair, [again.certificate.der]).chain }, exporter, suite),
    {
      code: 'signature-invalid',
    },
  )
})

test('a signature of the key over something else is no proof: the exporter alone, or under another context', () => {
  for (const message of [
    exporter,
    Buffer.concat([Buffer.from(`${' '.repeat(64)}TLS 1.3, client CertificateVerify\0`), exporter]),
  ]) {
    const proof = Buffer.from(suite.ecdsaP256.sign(leaf.pair, message)).toString('base64')
    assert.throws(() => readChannelProof({ ...proven(), proof }, exporter, suite), { code: 'signature-invalid' })
  }
})

test('headers that are cut, too long, not base64 or too many certificates are refused by name, never read in part', () => {
  const { chain, proof } = proven()
  for (let length = 0; length < chain.indexOf(','); length++)
    assert.throws(() => readChannelProof({ chain: chain.slice(0, length), proof }, exporter, suite), { name: 'PkiError' })
  for (let length = 0; length < proof.length; length++)
    assert.throws(() => readChannelProof({ chain, proof: proof.slice(0, length) }, exporter, suite), { name: 'PkiError' })
  const one = chain.split(',')[0]!
  assert.throws(() => readChannelProof({ chain: Array(5).fill(one).join(','), proof }, exporter, suite), { code: 'too-large' })
  assert.throws(() => readChannelProof({ chain: 'A'.repeat(9_000), proof }, exporter, suite), { code: 'too-large' })
  assert.throws(() => readChannelProof({ chain, proof: `${proof}=${'A'.repeat(128)}` }, exporter, suite), { code: 'too-large' })
  assert.throws(() => readChannelProof({ chain: `${chain} `, proof }, exporter, suite), { code: 'request-malformed' })
})
