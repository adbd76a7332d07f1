import { toHex } from '#shared/bytes/hex.ts'
import { checkInteger, DerReader, readOctetBits, readSmallInteger, readTime, Tag } from '#shared/pki/der.ts'
import { nameKey, parseName, type RelativeName } from '#shared/pki/distinguished-name.ts'
import { type Extensions, noExtensions, parseExtensions } from '#shared/pki/extensions.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type PublicKey, parsePublicKey } from '#shared/pki/public-key.ts'
import { parseSignatureAlgorithm, type SignatureAlgorithm, verifySignature } from '#shared/pki/signature.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

/** A certificate (RFC 5280 §4.1), parsed strictly. Byte fields are views into `der`, which must not change afterwards. */
export interface Certificate {
  readonly der: Uint8Array
  /** The signed part, header included. */
  readonly tbs: Uint8Array
  readonly version: 1 | 2 | 3
  /** Content octets of the serial INTEGER. */
  readonly serial: Uint8Array
  readonly serialHex: string
  /** Undefined for an algorithm that we do not verify with: a root may be signed by one, since nobody relies on its own signature. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined
  readonly signature: Uint8Array
  /** Name DER, and the same read and folded for comparison. */
  readonly issuer: Uint8Array
  readonly issuerKey: string
  readonly subject: Uint8Array
  readonly subjectName: readonly RelativeName[]
  readonly subjectKey: string
  readonly notBefore: WallTime
  readonly notAfter: WallTime
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array
  readonly publicKey: PublicKey
  readonly extensions: Extensions
}

/** Longest certificate read, in bytes. */
export const certificateLimit = 256 * 1024

/** Throws PkiError and nothing else, whatever the bytes. Keys that we cannot verify with are refused here already. */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > certificateLimit) throw new PkiError('too-large', `a certificate of ${der.length} bytes`)
  const outer = new DerReader(der)
  const certificate = outer.sequence()
  outer.end()
  const signed = certificate.next(Tag.Sequence)
  const algorithm = certificate.next(Tag.Sequence).whole
  const signature = readOctetBits(certificate.content(Tag.BitString))
  certificate.end()

  const tbs = new DerReader(signed.content)
  const version = readVersion(tbs)
  const serial = checkInteger(tbs.content(Tag.Integer))
  if (Buffer.compare(tbs.next(Tag.Sequence).whole, algorithm) !== 0) {
    throw new PkiError('certificate-malformed', 'the signed algorithm and the one beside the signature differ')
  }
  const issuer = tbs.next(Tag.Sequence).whole
  const validity = tbs.sequence()
  const notBefore = readTime(validity.next())
  const notAfter = readTime(validity.next())
  validity.end()
  const subject = tbs.next(Tag.Sequence).whole
  const spki = tbs.next(Tag.Sequence).whole
  const extensions = readExtensions(tbs, version)
  tbs.end()

  const subjectName = parseName(subject)
  return {
    der,
    tbs: signed.whole,
    version,
    serial,
    serialHex: toHex(serial),
    signatureAlgorithm: knownAlgorithm(algorithm),
    signature,
    issuer,
    issuerKey: nameKey(parseName(issuer)),
    subject,
    subjectName,
    subjectKey: nameKey(subjectName),
    notBefore: wallTime(notBefore),
    notAfter: wallTime(notAfter),
    spki,
    publicKey: parsePublicKey(spki),
    extensions,
  }
}

function knownAlgorithm(algorithm: Uint8Array): SignatureAlgorithm | undefined {
  try {
    return parseSignatureAlgorithm(algorithm)
  } catch (error) {
    if (error instanceof PkiError && error.code === 'algorithm-unsupported') return undefined
    throw error
  }
}

function readVersion(tbs: DerReader): 1 | 2 | 3 {
  const field = tbs.optional(0xa0)
  if (field === undefined) return 1
  const version = new DerReader(field.content)
  const value = readSmallInteger(version.content(Tag.Integer))
  version.end()
  if (value !== 1 && value !== 2) throw new PkiError('certificate-malformed', `version field ${value}`)
  return value === 1 ? 2 : 3
}

/** Unique identifiers ([1], [2]) are passed over: RFC 5280 forbids conforming CAs to make them, and nobody reads them. */
function readExtensions(tbs: DerReader, version: number): Extensions {
  if (version >= 2) {
    tbs.optional(0x81)
    tbs.optional(0x82)
  }
  const field = tbs.optional(0xa3)
  if (field === undefined) return noExtensions
  if (version !== 3) throw new PkiError('certificate-malformed', 'extensions in a certificate that is not of version 3')
  const list = new DerReader(field.content)
  const content = list.content(Tag.Sequence)
  list.end()
  return parseExtensions(content)
}

/** Issuer and subject are one name: a root, or a CA that changes its own key. */
export const isSelfIssued = (certificate: Certificate): boolean => certificate.issuerKey === certificate.subjectKey

/** Whether the signature on a certificate is by the key of `signer`: one verification, and no more of a path than that. */
export const isSignedBy = (
  { signatureAlgorithm, tbs, signature }: Certificate,
  { publicKey }: Pick<Certificate, 'publicKey'>,
): boolean => signatureAlgorithm !== undefined && verifySignature(signatureAlgorithm, publicKey, tbs, signature)
