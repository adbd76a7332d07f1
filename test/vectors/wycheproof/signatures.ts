import { equalPublic } from '#shared/bytes/equal.ts'
import type { Signer, Suite } from '#shared/crypto/suite.ts'
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

/** `publicKey` in version 1 of the files, `key` before. */
function groupKey(one: WycheproofCase): Fields {
  for (const key of [one.group.publicKey, one.group.key]) if (isFields(key)) return key
  throw new TypeError('the group has neither publicKey nor key')
}

function verdict(one: WycheproofCase, signer: Signer, publicKey: Uint8Array): string | undefined {
  const verified = signer.verify(publicKey, hexField(one.test, 'msg'), hexField(one.test, 'sig'))
  if (verified && one.expected === 'invalid') return 'verified what must be refused'
  if (!verified && one.expected === 'valid') return 'refused a valid signature'
  return undefined
}
