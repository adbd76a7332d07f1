import { equalPublic } from '#shared/bytes/equal.ts'
import type { RsaHash, RsaPadding, Signer, Suite } from '#shared/crypto/suite.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, isFields, optionalHex, textField } from '../fields.ts'
import type { GroupJudge, WycheproofCase } from './group.ts'

const ecdsaSigners: Readonly<Record<string, (suite: Suite) => Signer>> = {
  'secp256r1 SHA-256 DER': (suite) => suite.ecdsaP256,
  'secp256r1 SHA-256 P1363': (suite) => suite.ecdsaP256Raw,
  'secp384r1 SHA-384 DER': (suite) => suite.ecdsaP384,
}

/** WebCrypto's names, which some files use. */
const curveNames: Readonly<Record<string, string>> = { 'P-256': 'secp256r1', 'P-384': 'secp384r1' }

/** Group types EcdsaVerify and EcdsaP1363Verify. */
export const judgeEcdsa = (form: 'DER' | 'P1363'): GroupJudge => {
  return (one) => {
    const key = groupKey(one)
    const curve = textField(key, 'curve')
    const name = `${curveNames[curve] ?? curve} ${textField(one.group, 'sha')} ${form}`
    const signerOf = ecdsaSigners[name]
    if (signerOf === undefined) return { skip: `ECDSA ${name} is not in the crypto port` }
    return underBoth((suite) => verdict(one, signerOf(suite), hexField(key, 'uncompressed')))
  }
}

/** Group type EddsaVerify; where a version of the file gives the private key, its signature is made too. */
export const judgeEddsa: GroupJudge = (one) => {
  const key = groupKey(one)
  const curve = textField(key, 'curve')
  if (curve !== 'edwards25519') return { skip: `EdDSA over ${curve} is not in the crypto port` }
  return underBoth((suite) => {
    const complaint = verdict(one, suite.ed25519, hexField(key, 'pk'))
    const secret = optionalHex(key, 'sk')
    if (complaint !== undefined || secret === undefined || one.expected !== 'valid') return complaint
    const made = suite.ed25519.sign(suite.ed25519.pair(secret), hexField(one.test, 'msg'))
    return equalPublic(made, hexField(one.test, 'sig')) ? undefined : 'made another signature'
  })
}

const rsaHashes: Readonly<Record<string, RsaHash>> = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' }
/** Bytes of the salt that the port demands: those of the hash. */
const saltLengths: Readonly<Record<RsaHash, number>> = { sha256: 32, sha384: 48, sha512: 64 }

/** Group types RsassaPkcs1Verify and RsassaPssVerify. */
export const judgeRsa = (padding: RsaPadding): GroupJudge => {
  return (one) => {
    const sha = textField(one.group, 'sha')
    const hash = rsaHashes[sha]
    if (hash === undefined) return { skip: `RSA with ${sha} is not in the crypto port` }
    const foreign = padding === 'pss' && (one.group.mgfSha !== sha || one.group.sLen !== saltLengths[hash])
    if (foreign) return { skip: 'RSASSA-PSS with another mask hash or salt than those of its hash: outside our profile' }
    const key = groupKey(one)
    const numbers = { modulus: bareNumber(key, 'modulus', 'n'), exponent: bareNumber(key, 'publicExponent', 'e') }
    const [message, signature] = [hexField(one.test, 'msg'), hexField(one.test, 'sig')]
    return underBoth((suite) => acceptance(one, suite.rsa.verify(numbers, padding, hash, message, signature)))
  }
}

/** An INTEGER's content, or a number, without leading zeros. */
function bareNumber(key: Fields, ...names: readonly string[]): Uint8Array {
  const bytes = hexField(key, ...names)
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0))
}

/** `publicKey` in version 1 of the files, `key` before. */
function groupKey(one: WycheproofCase): Fields {
  for (const key of [one.group.publicKey, one.group.key]) if (isFields(key)) return key
  throw new TypeError('the group has neither publicKey nor key')
}

function verdict(one: WycheproofCase, signer: Signer, publicKey: Uint8Array): string | undefined {
  return acceptance(one, signer.verify(publicKey, hexField(one.test, 'msg'), hexField(one.test, 'sig')))
}

function acceptance(one: WycheproofCase, verified: boolean): string | undefined {
  if (verified && one.expected === 'invalid') return 'verified what must be refused'
  if (!verified && one.expected === 'valid') return 'refused a valid signature'
  return undefined
}
