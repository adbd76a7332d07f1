import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { decodeVoucher, encodeVoucher, type Voucher } from '#shared/enrolment/voucher.ts'
import { AditError } from '#shared/errors.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { verifyChain } from '#shared/pki/chain.ts'
import { encodeSignedData, openSignedData } from '#shared/pki/cms-signed-data.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { cms, factoryPurposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { wallTime } from '#shared/time/instant.ts'

/** A voucher whose signature is that of a maker who is trusted. */
export interface SignedVoucher {
  readonly voucher: Voucher
  /** SHA-256 of the voucher's JSON, hex. */
  readonly digest: string
  /** The maker's root that its signature leads to. */
  readonly factory: Certificate
}

/** CMS DER (RFC 8366 §5.4). `signer`: the maker's certificate for vouchers, right under its root. */
export const signVoucher = (voucher: Voucher, signer: { certificate: Certificate; pair: KeyPair }, suite: Suite): Uint8Array =>
  encodeSignedData({ contentType: cms.jsonVoucher, content: encodeVoucher(voucher) }, signer, suite)

/**
 * `factories`: roots of the makers that are trusted; of those a board has one. Whether the voucher is for the reader is `judgeVoucher`'s
 * to say. Makers' certificates have no end, and a board no clock: they are judged at the moment in which the latest of them begins. Throws AditError
 * `voucher-foreign` (by no maker of these) or `voucher-malformed`.
 */
export function openVoucher(der: Uint8Array, factories: readonly Certificate[], suite: Suite): SignedVoucher {
  try {
    const { contentType, content, signer, certificates } = openSignedData(der, suite)
    if (contentType !== cms.jsonVoucher) throw new PkiError('signed-data-malformed', 'it holds no voucher')
    const helpers = certificates.filter((one) => one !== signer)
    const path = verifyChain(signer, helpers, {
      anchors: factories,
      now: wallTime([...certificates, ...factories].reduce((time, { notBefore }) => Math.max(time, notBefore), 0)),
      purposes: [factoryPurposes.voucher],
      keyUsage: KeyUsage.digitalSignature,
      maxDepth: 1,
    })
    return { voucher: decodeVoucher(content), digest: toHex(suite.hash('sha256', content)), factory: path.at(-1) as Certificate }
  } catch (error) {
    if (error instanceof PkiError) throw refused(error)
    throw error
  }
}

function refused(error: PkiError): AditError {
  const isEncoding = /-malformed$|^too-large$/.test(error.code)
  return new AditError(
    isEncoding ? 'voucher-malformed' : 'voucher-foreign',
    `The voucher is refused: ${isEncoding ? 'it cannot be read' : 'no maker that is trusted here has signed it'} (${error.message}).`,
    isEncoding ? 'Get the file again, as its maker gave it.' : 'Ask the maker of the board for a voucher of its own.',
    { cause: error },
  )
}
