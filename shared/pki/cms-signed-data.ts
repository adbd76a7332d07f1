import { equalPublic } from '#shared/bytes/equal.ts'
import { type IdentityKey, signAs } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { contextConstructed, DerReader, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { element, octetString, oid, sequence, setOf, smallInteger } from '#shared/pki/der-writer.ts'
import { algorithms, cms, pkcs7 } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { parseSignatureAlgorithm, verifySignature } from '#shared/pki/signature.ts'

/**
 * CMS SignedData (RFC 5652 §5) as vouchers need it, and no more: content inside, one signer, ECDSA P-256 with SHA-256 over signed
 * attributes (content type, message digest), the signer's certificate among those that come along. Strict DER.
 *
 *   ContentInfo { signedData, [0] { version 1|3, SET { sha256 }, { contentType, [0] OCTET STRING }, [0] certificates, SET { SignerInfo } } }
 *   SignerInfo  { version 1|3, issuerAndSerialNumber | [0] key identifier, sha256, [0] attributes, ecdsa-with-SHA256, OCTET STRING }
 */
export interface SignedData {
  /** OID of what `content` is. */
  readonly contentType: string
  /** A copy. */
  readonly content: Uint8Array
  /** Whose key made the signature: it has been verified. Whether it may sign such things is the caller's to judge. */
  readonly signer: Certificate
  /** All that came along, `signer` among them. */
  readonly certificates: readonly Certificate[]
}

/** Longest message read, in bytes: a voucher with three certificates has some 3,000. */
const messageLimit = 64 * 1024
const certificateLimit = 8
/** Attributes of a signature at most: openssl writes four. */
const attributeLimit = 16

const sha256 = sequence(oid(algorithms.sha256))
/** RFC 5754 §2: parameters are absent, and NULL is to be read all the same. */
const sha256WithNull = sequence(oid(algorithms.sha256), element(Tag.Null))

/** `certificates`: DER of what the reader needs beside the signer's own. */
export function encodeSignedData(
  { contentType, content, certificates = [] }: { contentType: string; content: Uint8Array; certificates?: readonly Uint8Array[] },
  signer: { certificate: Certificate; pair: IdentityKey },
  suite: Pick<Suite, 'hash' | 'ecdsaP256'>,
): Uint8Array {
  const { der, issuer, serial } = signer.certificate
  const attributes = setOf(
    attribute(cms.contentType, oid(contentType)),
    attribute(cms.messageDigest, octetString(suite.hash('sha256', content))),
  )
  const signerInfo = sequence(
    smallInteger(1),
    sequence(issuer, element(Tag.Integer, serial)),
    sha256,
    retagged(attributes, contextConstructed(0)),
    sequence(oid(algorithms.ecdsaSha256)),
    octetString(signAs(signer.pair, attributes, suite)),
  )
  const signed = sequence(
    smallInteger(contentType === pkcs7.data ? 1 : 3),
    setOf(sha256),
    sequence(oid(contentType), element(contextConstructed(0), octetString(content))),
    element(contextConstructed(0), der, ...certificates),
    setOf(signerInfo),
  )
  return sequence(oid(pkcs7.signedData), element(contextConstructed(0), signed))
}

/** Verifies the one signature. Throws PkiError and nothing else, whatever the bytes. */
export function openSignedData(der: Uint8Array, suite: Pick<Suite, 'hash'>): SignedData {
  if (der.length > messageLimit) throw new PkiError('too-large', `a signed message of ${der.length} bytes`)
  const signed = openContentInfo(der)
  const version = readSmallInteger(signed.content(Tag.Integer))
  const digests = new DerReader(signed.content(Tag.Set))
  checkSha256(digests.next(Tag.Sequence).whole)
  digests.end()
  const { contentType, content } = readContent(signed.sequence())
  const certificates = readCertificates(signed.optional(contextConstructed(0))?.content)
  const signers = new DerReader(signed.content(Tag.Set))
  signed.end()
  const signerInfo = signers.sequence()
  if (!signers.done) throw malformed('more than one signature')
  const signerVersion = readSmallInteger(signerInfo.content(Tag.Integer))
  if (version !== (contentType === pkcs7.data && signerVersion === 1 ? 1 : 3)) throw malformed(`version ${version}`)
  const signer = verifySigner(signerInfo, signerVersion, { contentType, digest: suite.hash('sha256', content) }, certificates)
  return { contentType, content: Uint8Array.from(content), signer, certificates }
}

function openContentInfo(der: Uint8Array): DerReader {
  const outer = new DerReader(der)
  const info = outer.sequence()
  outer.end()
  if (info.oid() !== pkcs7.signedData) throw malformed('a CMS message that is no SignedData')
  const explicit = new DerReader(info.content(contextConstructed(0)))
  info.end()
  const signed = explicit.sequence()
  explicit.end()
  return signed
}

function readContent(info: DerReader): { contentType: string; content: Uint8Array } {
  const contentType = info.oid()
  if (info.done) throw malformed('a signature without what it is over')
  const explicit = new DerReader(info.content(contextConstructed(0)))
  info.end()
  const content = explicit.content(Tag.OctetString)
  explicit.end()
  return { contentType, content }
}

function readCertificates(content: Uint8Array | undefined): Certificate[] {
  const list = new DerReader(content ?? new Uint8Array())
  const certificates: Certificate[] = []
  while (!list.done) {
    if (certificates.length >= certificateLimit) throw new PkiError('too-large', `more than ${certificateLimit} certificates`)
    certificates.push(parseCertificate(list.next(Tag.Sequence).whole))
  }
  return certificates
}

function verifySigner(
  info: DerReader,
  version: number,
  signed: { contentType: string; digest: Uint8Array },
  certificates: readonly Certificate[],
): Certificate {
  const signer = findSigner(info, version, certificates)
  checkSha256(info.next(Tag.Sequence).whole)
  const attributes = info.next(contextConstructed(0))
  const algorithm = parseSignatureAlgorithm(info.next(Tag.Sequence).whole)
  const signature = info.content(Tag.OctetString)
  if (!info.done) throw malformed('attributes that nobody has signed')
  checkAttributes(attributes.content, signed)
  if (algorithm.name !== 'ECDSA_WITH_SHA256' || signer.publicKey.kind !== 'p256')
    throw new PkiError('algorithm-unsupported', 'a signature other than by ECDSA P-256 with SHA-256')
  // What is signed bears the tag of a SET (RFC 5652 §5.4).
  if (!verifySignature(algorithm, signer.publicKey, retagged(attributes.whole, Tag.Set), signature))
    throw new PkiError('signature-invalid', 'a signature that is not by the key of the certificate that it names')
  return signer
}

/** By issuer and serial number, or by key identifier. */
function findSigner(info: DerReader, version: number, certificates: readonly Certificate[]): Certificate {
  const byKey = info.optional(0x80)
  if (version !== (byKey === undefined ? 1 : 3)) throw malformed(`a signature of version ${version}`)
  let found: Certificate | undefined
  if (byKey === undefined) {
    const name = info.sequence()
    const issuer = name.next(Tag.Sequence).whole
    const serial = name.content(Tag.Integer)
    name.end()
    found = certificates.find((one) => equalPublic(one.issuer, issuer) && equalPublic(one.serial, serial))
  } else {
    found = certificates.find((one) => {
      const id = one.extensions.subjectKeyId?.id
      return id !== undefined && equalPublic(id, byKey.content)
    })
  }
  if (found === undefined) throw malformed('a signer whose certificate is not there')
  return found
}

/** DER's order is demanded, as the signature is over the sorted form. Attributes that we have no use for are passed over. */
function checkAttributes(content: Uint8Array, { contentType, digest }: { contentType: string; digest: Uint8Array }): void {
  const list = new DerReader(content)
  const values = new Map<string, Uint8Array>()
  let before: Uint8Array = new Uint8Array()
  while (!list.done) {
    const { whole } = list.next(Tag.Sequence)
    if (Buffer.compare(before, whole) > 0) throw malformed('attributes out of order')
    before = whole
    const attribute = new DerReader(whole).sequence()
    const type = attribute.oid()
    if (values.has(type)) throw malformed(`the attribute ${type} twice`)
    if (values.size >= attributeLimit) throw new PkiError('too-large', `more than ${attributeLimit} attributes`)
    values.set(type, attribute.content(Tag.Set))
    attribute.end()
  }
  if (!isOnly(values.get(cms.contentType), oid(contentType))) throw malformed('a signature over content of another type')
  if (!isOnly(values.get(cms.messageDigest), octetString(digest)))
    throw new PkiError('signature-invalid', 'a signature over other content')
}

const isOnly = (values: Uint8Array | undefined, one: Uint8Array): boolean => values !== undefined && equalPublic(values, one)

function checkSha256(algorithm: Uint8Array): void {
  if (equalPublic(algorithm, sha256) || equalPublic(algorithm, sha256WithNull)) return
  throw new PkiError('algorithm-unsupported', 'a digest other than SHA-256')
}

const attribute = (type: string, value: Uint8Array): Uint8Array => sequence(oid(type), setOf(value))

/** The same element under another tag of one octet. */
function retagged(whole: Uint8Array, tag: number): Uint8Array {
  const copy = Uint8Array.from(whole)
  copy[0] = tag
  return copy
}

const malformed = (what: string): PkiError => new PkiError('signed-data-malformed', `a signed message is refused: ${what}`)
