import { toHex } from '#shared/bytes/hex.ts'
import { checkInteger, contextConstructed, DerReader, readBoolean, readWhole, Tag } from '#shared/pki/der.ts'
import { access, algorithms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * What a client asks of a certificate's status (RFC 6960 §4.1), reading side.
 *
 *   OCSPRequest { TBSRequest { [0] version?, [1] requestorName?, SEQUENCE OF { CertID, [0] extensions? }, [2] extensions? },
 *                 [0] signature? }
 *   CertID      { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber }
 *
 * A signature is not looked at: anybody may ask.
 */
export interface OcspRequest {
  /** At least one. */
  readonly ids: readonly CertId[]
  /** 1 to 32 bytes, to be said again in the answer (RFC 8954, RFC 9654 §2.1 up to 128). */
  readonly nonce?: Uint8Array
}

/** How a client names a certificate. */
export interface CertId {
  readonly hash: 'sha1' | 'sha256'
  /** Of the issuer's name DER, and of the bits of its key. */
  readonly nameHash: Uint8Array
  readonly keyHash: Uint8Array
  /** Lower-case hex of the INTEGER's content octets. */
  readonly serialHex: string
  /** The CertID's DER, to be said again in the answer. */
  readonly der: Uint8Array
}

/** Certificates asked for in one request at most, and longest request, bytes. */
const idLimit = 16
export const OCSP_REQUEST_LIMIT = 4_096
const longestNonce = 128
/** RFC 5280 §4.1.2.2. */
const longestSerial = 20

/** Throws PkiError. */
export function decodeOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > OCSP_REQUEST_LIMIT) throw new PkiError('too-large', `an OCSP request of ${der.length} bytes`)
  const outer = new DerReader(der)
  const request = outer.sequence()
  outer.end()
  const tbs = request.sequence()
  request.optional(contextConstructed(0))
  request.end()
  tbs.optional(contextConstructed(0))
  tbs.optional(contextConstructed(1))
  const list = tbs.sequence()
  const extensions = tbs.optional(contextConstructed(2))
  tbs.end()
  const ids: CertId[] = []
  while (!list.done) {
    if (ids.length >= idLimit) throw new PkiError('too-large', `an OCSP request for more than ${idLimit} certificates`)
    ids.push(readSingle(list.sequence()))
  }
  if (ids.length === 0) throw new PkiError('der-malformed', 'an OCSP request for nothing')
  const nonce = extensions && readNonce(extensions.content)
  return { ids, ...(nonce && { nonce }) }
}

function readSingle(single: DerReader): CertId {
  const der = single.next(Tag.Sequence).whole
  const extensions = single.optional(contextConstructed(0))
  single.end()
  if (extensions) for (const { critical } of readExtensions(extensions.content)) if (critical) throw unknownExtension()
  const id = new DerReader(readWhole(der, Tag.Sequence))
  const algorithm = id.sequence()
  const name = algorithm.oid()
  if (algorithm.peek() === Tag.Null) algorithm.next(Tag.Null)
  algorithm.end()
  const hash = name === algorithms.sha1 ? 'sha1' : name === algorithms.sha256 ? 'sha256' : undefined
  if (hash === undefined) throw new PkiError('algorithm-unsupported', `an OCSP request with the hash ${name}`)
  const nameHash = id.content(Tag.OctetString)
  const keyHash = id.content(Tag.OctetString)
  const serial = checkInteger(id.content(Tag.Integer))
  id.end()
  if (serial.length > longestSerial) throw new PkiError('too-large', 'an OCSP request for a serial of more than 20 bytes')
  return { hash, nameHash, keyHash, serialHex: toHex(serial), der }
}

function readNonce(explicit: Uint8Array): Uint8Array | undefined {
  let nonce: Uint8Array | undefined
  for (const { name, critical, value } of readExtensions(explicit)) {
    if (name === access.ocspNonce) {
      nonce = readWhole(value, Tag.OctetString)
      if (nonce.length === 0 || nonce.length > longestNonce) throw new PkiError('der-malformed', 'a nonce of a wrong length')
    } else if (critical) throw unknownExtension()
  }
  return nonce
}

function* readExtensions(explicit: Uint8Array): Generator<{ name: string; critical: boolean; value: Uint8Array }> {
  const list = new DerReader(readWhole(explicit, Tag.Sequence))
  while (!list.done) {
    const fields = list.sequence()
    const name = fields.oid()
    const critical = fields.optional(Tag.Boolean)
    const value = fields.content(Tag.OctetString)
    fields.end()
    yield { name, critical: critical !== undefined && readBoolean(critical.content), value }
  }
}

const unknownExtension = (): PkiError =>
  new PkiError('der-malformed', 'an OCSP request with a critical extension that is not known here')
