import { toBase64 } from '#shared/bytes/base64.ts'
import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { binaryIn, bodyIn, serialIn } from '#shared/enrolment/voucher.ts'
import { AditError } from '#shared/errors.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { encodeSignedData, openSignedData } from '#shared/pki/cms-signed-data.ts'
import { cms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * A board's request for its voucher (RFC 8995 §3.2, §5.2), signed by its IDevID. It holds no secret: it is sent to whoever answers, before
 * the board knows whom to trust, and names the certificate that answered, so that a request that somebody else passes on is of no use.
 *
 *   {"ietf-voucher-request:voucher": {"nonce", "serial-number", "assertion": "proximity", "proximity-registrar-cert"}}
 */
export interface VoucherRequest {
  readonly serial: string
  /** 16 bytes. */
  readonly nonce: Uint8Array
  /** DER of the TLS server's certificate, as the board saw it. */
  readonly registrarCert: Uint8Array
}

const container = 'ietf-voucher-request:voucher'
const leaves = { nonce: 'nonce', serial: 'serial-number', assertion: 'assertion', registrar: 'proximity-registrar-cert' } as const
export const nonceLength = 16

/** CMS DER. `signer`: the IDevID; `issuers`: DER of what stands between it and its maker's root. */
export function signVoucherRequest(
  { serial, nonce, registrarCert }: VoucherRequest,
  signer: { certificate: Certificate; pair: IdentityKey },
  issuers: readonly Uint8Array[],
  suite: Suite,
): Uint8Array {
  const body = {
    [leaves.assertion]: 'proximity',
    [leaves.nonce]: toBase64(nonce),
    [leaves.serial]: serial,
    [leaves.registrar]: toBase64(registrarCert),
  }
  const content = Buffer.from(JSON.stringify({ [container]: body }), 'utf8')
  return encodeSignedData({ contentType: cms.jsonVoucher, content, certificates: issuers }, signer, suite)
}

/** The request, and the certificate whose key has signed it: whose that is the caller judges. Throws AditError `voucher-malformed`. */
export function openVoucherRequest(der: Uint8Array, suite: Suite): VoucherRequest & { signer: Certificate } {
  const { contentType, content, signer } = opened(der, suite)
  if (contentType !== cms.jsonVoucher) throw malformed('it holds no request for a voucher')
  const body = bodyIn(content, container, [...Object.values(leaves), 'created-on', 'idevid-issuer'])
  const nonce = binaryIn(body, leaves.nonce)
  const registrarCert = binaryIn(body, leaves.registrar)
  if (nonce?.length !== nonceLength || registrarCert === undefined) throw malformed('a leaf of it is missing')
  return { serial: serialIn(body), nonce, registrarCert, signer }
}

function opened(der: Uint8Array, suite: Suite) {
  try {
    return openSignedData(der, suite)
  } catch (error) {
    if (error instanceof PkiError) throw malformed(error.message)
    throw error
  }
}

const malformed = (why: string): AditError =>
  new AditError('voucher-malformed', `The request for a voucher is refused: ${why}.`, 'Use the programs of the same version.')
