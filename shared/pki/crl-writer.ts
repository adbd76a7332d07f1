import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { authorityKeyId, ecdsaSha256, extension, keyIdentifier, signed } from '#shared/pki/certificate-writer.ts'
import { element, enumerated, sequence, smallInteger, time, unsignedInteger } from '#shared/pki/der-writer.ts'
import { extensions } from '#shared/pki/oids.ts'
import { type ListedReason, listedReasons } from '#shared/pki/revocation-reason.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * A list of revoked certificates, version 2 (RFC 5280 §5), signed by ECDSA P-256 with SHA-256.
 *
 *   CertificateList { TBSCertList { 1, algorithm, issuer, thisUpdate, nextUpdate, revokedCertificates?, [0] { authorityKeyIdentifier,
 *                     cRLNumber, issuingDistributionPoint? } }, algorithm, signature }
 */
export interface CrlContent {
  /** The CA whose list it is, and by whose key it is signed. */
  readonly issuer: Certificate
  /** Grows with every list of the issuer: below 2^53. */
  readonly number: number
  readonly thisUpdate: WallTime
  readonly nextUpdate: WallTime
  readonly entries: readonly RevokedEntry[]
  /** Of certificates of other CAs, which have made the issuer theirs for that (§5.2.5). */
  readonly indirect?: boolean
}

export interface RevokedEntry {
  /** Positive, big-endian: 1 to 20 bytes. */
  readonly serial: Uint8Array
  readonly revokedAt: WallTime
  readonly reason?: ListedReason | undefined
  /** Name DER of the CA whose certificate it is, where that is not the list's issuer: such a list is `indirect` and names it in each. */
  readonly issuer?: Uint8Array
}

/** An entry has some 45 bytes, of an indirect list 110: more than this would not fit into what `element` writes. */
export const CRL_ENTRY_LIMIT = 300_000
export const INDIRECT_ENTRY_LIMIT = 100_000

/** DER, entries in the order of their serials. Throws RangeError for more than CRL_ENTRY_LIMIT, or INDIRECT_ENTRY_LIMIT. */
export function writeCrl(content: CrlContent, signer: KeyPair, suite: Suite): Uint8Array {
  const { issuer, number, thisUpdate, nextUpdate, entries } = content
  if (entries.length > (content.indirect ? INDIRECT_ENTRY_LIMIT : CRL_ENTRY_LIMIT))
    throw new RangeError(`a list of ${entries.length} revoked certificates`)
  const sorted = [...entries].sort((a, b) => a.serial.length - b.serial.length || Buffer.compare(a.serial, b.serial))
  const tbs = sequence(
    smallInteger(1),
    ecdsaSha256,
    issuer.subject,
    time(thisUpdate),
    time(nextUpdate),
    // An empty list must not be there at all (§5.1.2.6).
    ...(sorted.length === 0 ? [] : [sequence(Buffer.concat(sorted.map(entry)))]),
    element(
      0xa0,
      sequence(authorityKeyId(keyIdentifier(issuer.spki, suite)), crlNumber(number), ...(content.indirect ? [isIndirect] : [])),
    ),
  )
  return signed(tbs, signer, suite)
}

/** The extension of each reason, made once: a list may have a hundred thousand. A reason that says nothing is left out (§5.3.1). */
const reasonExtensions = new Map(
  Object.entries(listedReasons)
    .filter(([, code]) => code !== listedReasons.unspecified)
    .map(([reason, code]) => [reason, extension(extensions.reasonCode, false, enumerated(code))]),
)

function entry({ serial, revokedAt, reason = 'unspecified', issuer }: RevokedEntry): Uint8Array {
  const why = reasonExtensions.get(reason)
  const more = [...(why === undefined ? [] : [why]), ...(issuer === undefined ? [] : [certificateIssuer(issuer)])]
  return sequence(unsignedInteger(serial), time(revokedAt), ...(more.length === 0 ? [] : [sequence(...more)]))
}

/** §5.3.3: a list may not be read without it. */
const certificateIssuer = (name: Uint8Array): Uint8Array =>
  extension(extensions.certificateIssuer, true, sequence(element(0xa4, name)))

/** §5.2.5: of no one place, so that it holds wherever the certificates say that it lies. */
const isIndirect = extension(extensions.issuingDistributionPoint, true, sequence(element(0x84, Uint8Array.of(0xff))))

function crlNumber(number: number): Uint8Array {
  const octets = new Uint8Array(8)
  new DataView(octets.buffer).setBigUint64(0, BigInt(number))
  return extension(extensions.crlNumber, false, unsignedInteger(octets))
}
