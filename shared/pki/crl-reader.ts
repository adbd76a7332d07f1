import { toHex } from '#shared/bytes/hex.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { checkInteger, DerReader, readOctetBits, readTime, readWhole, Tag } from '#shared/pki/der.ts'
import { nameKey, parseName } from '#shared/pki/distinguished-name.ts'
import { extensions as known } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { parseSignatureAlgorithm, type SignatureAlgorithm, verifySignature } from '#shared/pki/signature.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * A list of revoked certificates (RFC 5280 §5), reading side, for a list of a root that was signed on another machine: version 2, whole,
 * with a number and a next update. What would narrow or widen it (deltas, scopes, other issuers' entries) is critical there and refused.
 */
export interface RevocationList {
  readonly der: Uint8Array
  readonly issuerKey: string
  /** Identifier of the signer's key; undefined where the list says none. */
  readonly authorityKeyId: Uint8Array | undefined
  /** Below 2^53. */
  readonly number: number
  readonly thisUpdate: WallTime
  readonly nextUpdate: WallTime
  /** Serial numbers, hex. */
  readonly revoked: ReadonlySet<string>
  readonly tbs: Uint8Array
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
}

/** Longest list read, in bytes: a root has a few issuing CAs. */
export const crlReadLimit = 64 * 1024

/** Throws PkiError and nothing else, whatever the bytes. */
export function parseCrl(der: Uint8Array): RevocationList {
  if (der.length > crlReadLimit) throw new PkiError('too-large', `a list of ${der.length} bytes`)
  const outer = new DerReader(readWhole(der, Tag.Sequence))
  const signed = outer.next(Tag.Sequence)
  const algorithm = outer.next(Tag.Sequence).whole
  const signature = readOctetBits(outer.content(Tag.BitString))
  outer.end()
  const tbs = new DerReader(signed.content)
  const version = tbs.content(Tag.Integer)
  if (version.length !== 1 || version[0] !== 1) throw malformed('it is not of version 2')
  if (Buffer.compare(tbs.next(Tag.Sequence).whole, algorithm) !== 0)
    throw malformed('the signed algorithm and the one beside the signature differ')
  const issuer = tbs.next(Tag.Sequence).whole
  const thisUpdate = wallTime(readTime(tbs.next()))
  const nextUpdate = wallTime(readTime(tbs.next()))
  const revoked = readEntries(tbs.optional(Tag.Sequence)?.content)
  const { authorityKeyId, number } = readListExtensions(tbs.content(0xa0))
  tbs.end()
  const times = { thisUpdate, nextUpdate }
  const proof = { tbs: signed.whole, signatureAlgorithm: parseSignatureAlgorithm(algorithm), signature }
  return { der, issuerKey: nameKey(parseName(issuer)), authorityKeyId, number, ...times, revoked, ...proof }
}

/** Whether the list is of that name and signed by that key. */
export const isListOf = (list: RevocationList, { subjectKey, publicKey }: Certificate): boolean =>
  list.issuerKey === subjectKey && verifySignature(list.signatureAlgorithm, publicKey, list.tbs, list.signature)

function readEntries(content: Uint8Array | undefined): Set<string> {
  const serials = new Set<string>()
  if (content === undefined) return serials
  const list = new DerReader(content)
  if (list.done) throw malformed('an empty list of entries')
  while (!list.done) {
    const entry = list.sequence()
    const serial = toHex(checkInteger(entry.content(Tag.Integer)))
    readTime(entry.next())
    const more = entry.optional(Tag.Sequence)
    entry.end()
    if (more !== undefined) eachExtension(more.content, () => false)
    if (serials.has(serial)) throw malformed('a certificate twice')
    serials.add(serial)
  }
  return serials
}

function readListExtensions(content: Uint8Array): { authorityKeyId: Uint8Array | undefined; number: number } {
  const outer = new DerReader(content)
  let authorityKeyId: Uint8Array | undefined
  let number: number | undefined
  eachExtension(outer.content(Tag.Sequence), (name, value) => {
    if (name === known.authorityKeyIdentifier) {
      authorityKeyId = new DerReader(readWhole(value, Tag.Sequence)).optional(0x80)?.content
      return true
    }
    if (name !== known.crlNumber) return false
    number = readNumber(readWhole(value, Tag.Integer))
    return true
  })
  outer.end()
  if (number === undefined) throw malformed('it has no number')
  return { authorityKeyId, number }
}

/** `take` says whether it has understood; a critical one that nobody has refuses the list (§5.2). */
function eachExtension(content: Uint8Array, take: (name: string, value: Uint8Array) => boolean): void {
  const list = new DerReader(content)
  const seen = new Set<string>()
  while (!list.done) {
    const fields = list.sequence()
    const name = fields.oid()
    const critical = fields.optional(Tag.Boolean) !== undefined
    const value = fields.content(Tag.OctetString)
    fields.end()
    if (seen.has(name)) throw malformed(`extension ${name} twice`)
    seen.add(name)
    if (!take(name, value) && critical) throw malformed(`critical extension ${name}`)
  }
}

function readNumber(content: Uint8Array): number {
  checkInteger(content)
  if (content.length > 7 || (content[0] ?? 0) >= 0x80) throw malformed('a number out of range')
  const number = content.reduce((value, octet) => value * 256 + octet, 0)
  if (!Number.isSafeInteger(number)) throw malformed('a number out of range')
  return number
}

const malformed = (why: string): PkiError => new PkiError('crl-malformed', `a list of revoked certificates: ${why}`)
