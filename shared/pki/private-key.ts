import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { DerReader, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { bitString, element, octetString, oid, sequence, smallInteger } from '#shared/pki/der-writer.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * Private keys on disk: PKCS#8 in PEM (RFC 5958, RFC 5915 for P-256, RFC 8410 for X25519 and Ed25519), which openssl reads.
 *
 *   OneAsymmetricKey { version 0, AlgorithmIdentifier, OCTET STRING { ECPrivateKey | OCTET STRING (32) } }
 */
export type PrivateKeyKind = 'p256' | 'x25519' | 'ed25519'

/** RFC 8410 §3. */
const edwardsOids = { x25519: '1.3.101.110', ed25519: '1.3.101.112' } as const
const label = 'PRIVATE KEY'

export function encodePrivateKey(kind: PrivateKeyKind, pair: KeyPair): string {
  if (kind !== 'p256') {
    const algorithm = sequence(oid(edwardsOids[kind]))
    return encodePem(label, sequence(smallInteger(0), algorithm, octetString(octetString(pair.privateKey))))
  }
  const key = sequence(smallInteger(1), octetString(pair.privateKey), element(0xa1, bitString(pair.publicKey)))
  const algorithm = sequence(oid(algorithms.ecPublicKey), oid(algorithms.p256))
  return encodePem(label, sequence(smallInteger(0), algorithm, octetString(key)))
}

/** The pair, its public key computed anew. Throws PkiError, whose message never has a byte of the key. */
export function decodePrivateKey(kind: PrivateKeyKind, pem: string, suite: Suite): KeyPair {
  const [der] = decodePem(label, pem)
  if (der === undefined) throw new PkiError('der-malformed', 'no private key in PEM')
  const { name, algorithm, content } = openPrivateKeyInfo(der)
  if (kind !== 'p256' && name === edwardsOids[kind]) return suite[kind].pair(checkLength(content.content(Tag.OctetString)))
  if (kind === 'p256' && name === algorithms.ecPublicKey && algorithm.oid() === algorithms.p256) {
    return suite.ecdsaP256.pair(checkLength(ecPrivateNumber(content)))
  }
  throw new PkiError('key-unsupported', `a private key of another kind than ${kind}`)
}

/** PrivateKeyInfo (RFC 5958 §2): the algorithm's name, what follows it there, and the key itself. Throws PkiError. */
export function openPrivateKeyInfo(der: Uint8Array): { name: string; algorithm: DerReader; content: DerReader } {
  const outer = new DerReader(der)
  const body = outer.sequence()
  outer.end()
  if (readSmallInteger(body.content(Tag.Integer)) > 1)
    throw new PkiError('key-unsupported', 'a private key of an unknown version')
  const algorithm = body.sequence()
  return { name: algorithm.oid(), algorithm, content: new DerReader(body.content(Tag.OctetString)) }
}

/** ECPrivateKey (RFC 5915): the number after the version. */
export function ecPrivateNumber(content: DerReader): Uint8Array {
  const key = content.sequence()
  readSmallInteger(key.content(Tag.Integer))
  return key.content(Tag.OctetString)
}

function checkLength(key: Uint8Array): Uint8Array {
  if (key.length !== 32) throw new PkiError('key-unsupported', 'a private key of a wrong length')
  return Uint8Array.from(key)
}
