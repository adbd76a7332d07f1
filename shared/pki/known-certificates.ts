import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'

/** Certificates that are kept unless said otherwise; each takes a few kilobytes with its parsed form. */
const usualLimit = 4096
/** Bytes of the signature that a certificate is found by. */
const handleLength = 16

/**
 * Certificates that were found good not long ago, so that a peer that returns is not read and its signatures not verified anew: what is
 * kept along with a `Certificate` (its key in OpenSSL's form, the issuers that were proven) lives as long as the object. Times, purposes
 * and revocation are judged each time all the same.
 */
export class KnownCertificates {
  /** By the last bytes, the least recently used first. */
  readonly #known = new Map<string, Certificate>()
  readonly #limit: number

  constructor(limit = usualLimit) {
    this.#limit = limit
  }

  /** The one that is kept, where there is one of exactly these bytes; else read anew, from a copy. Throws PkiError as `parseCertificate` does. */
  readonly parse = (der: Uint8Array): Certificate => {
    const known = this.#known.get(handleOf(der))
    return known !== undefined && equalPublic(known.der, der) ? known : parseCertificate(Uint8Array.from(der))
  }

  /** It has been judged good: strangers cannot fill this. */
  keep(certificate: Certificate): void {
    const handle = handleOf(certificate.der)
    this.#known.delete(handle)
    this.#known.set(handle, certificate)
    if (this.#known.size > this.#limit) this.#known.delete(this.#known.keys().next().value!)
  }
}

const handleOf = (der: Uint8Array): string => toHex(der.subarray(-handleLength))
