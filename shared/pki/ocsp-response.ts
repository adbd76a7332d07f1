import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { extension, signed } from '#shared/pki/certificate-writer.ts'
import { element, enumerated, generalizedTime, octetString, oid, sequence } from '#shared/pki/der-writer.ts'
import { access } from '#shared/pki/oids.ts'
import { keyBits } from '#shared/pki/public-key.ts'
import { type RevocationReason, revocationReasons } from '#shared/pki/revocation-reason.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * The answer to what a certificate's status is (RFC 6960 §4.2), writing side; signed by ECDSA P-256 with SHA-256.
 *
 *   OCSPResponse      { status, [0] { id-pkix-ocsp-basic, OCTET STRING of BasicOCSPResponse } }
 *   BasicOCSPResponse { ResponseData { [1] Name | [2] KeyHash, producedAt, SEQUENCE OF SingleResponse, [1] extensions? }, algorithm, signature,
 *                       [0] SEQUENCE OF Certificate? }
 *   SingleResponse    { CertID, [0] good | [1] revoked | [2] unknown, thisUpdate, [0] nextUpdate }
 */
export interface OcspAnswer {
  readonly producedAt: WallTime
  readonly nextUpdate: WallTime
  readonly singles: readonly SingleAnswer[]
  /** The certificate by which the issuer lets another key answer for it. */
  readonly responder?: Pick<Certificate, 'der' | 'subject'> | undefined
  /** As it was asked with (RFC 8954). */
  readonly nonce?: Uint8Array | undefined
}

export interface SingleAnswer {
  /** CertID DER as it was asked with. */
  readonly id: Uint8Array
  readonly status: CertificateStatus
}

export type CertificateStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly at: WallTime; readonly reason?: RevocationReason | undefined }
  | { readonly kind: 'unknown' }

/** `signer`: the key of `spki`, which is the CA's own, or that of the responder whose certificate goes along. */
export function encodeOcspResponse(
  answer: OcspAnswer,
  { spki }: Pick<Certificate, 'spki'>,
  signer: KeyPair,
  suite: Suite,
): Uint8Array {
  const { producedAt, nextUpdate, singles, nonce, responder } = answer
  const said = singles.map(({ id, status }) =>
    sequence(id, statusOf(status), generalizedTime(producedAt), element(0xa0, generalizedTime(nextUpdate))),
  )
  const data = sequence(
    // By name where it is delegated: the key may be that of a CA as well, which a reader would find by the key.
    responder ? element(0xa1, responder.subject) : element(0xa2, octetString(suite.hash('sha1', keyBits(spki)))),
    generalizedTime(producedAt),
    sequence(...said),
    ...(nonce ? [element(0xa1, sequence(extension(access.ocspNonce, false, octetString(nonce))))] : []),
  )
  const basic = signed(data, signer, suite, ...(responder ? [element(0xa0, sequence(responder.der))] : []))
  return sequence(enumerated(0), element(0xa0, sequence(oid(access.ocspBasic), octetString(basic))))
}

/** Why nothing is said (RFC 6960 §4.2.1); such an answer is not signed. */
export const ocspRefusals = { malformed: 1, internal: 2, later: 3, unauthorized: 6 } as const

export const encodeOcspRefusal = (why: keyof typeof ocspRefusals): Uint8Array => sequence(enumerated(ocspRefusals[why]))

function statusOf(status: CertificateStatus): Uint8Array {
  if (status.kind === 'good') return element(0x80)
  if (status.kind === 'unknown') return element(0x82)
  const { at, reason = 'unspecified' } = status
  const why = reason === 'unspecified' ? [] : [element(0xa0, enumerated(revocationReasons[reason]))]
  return element(0xa1, generalizedTime(at), ...why)
}
