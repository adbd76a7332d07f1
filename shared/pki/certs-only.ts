import { contextConstructed, DerReader, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { element, oid, sequence, smallInteger } from '#shared/pki/der-writer.ts'
import { pkcs7 } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * Certs-only CMS (RFC 5652 §5, as RFC 7030 §4.1.3 and §4.2.3 use it): a SignedData that signs nothing and carries certificates.
 *
 *   ContentInfo { signedData, [0] { version 1, SET {}, { data }, [0] certificates, [1]? crls, SET {} } }
 */
const certificateLimit = 64

/** `certificates`: DER of each, kept in this order (receivers must not rely on any). */
export const encodeCertsOnly = (certificates: readonly Uint8Array[]): Uint8Array =>
  sequence(
    oid(pkcs7.signedData),
    element(
      contextConstructed(0),
      sequence(
        smallInteger(1),
        element(Tag.Set),
        sequence(oid(pkcs7.data)),
        element(contextConstructed(0), ...certificates),
        element(Tag.Set),
      ),
    ),
  )

/** The certificates inside, as DER, at least one. Throws PkiError. Signatures, if any, are not looked at: TLS vouches for the sender. */
export function decodeCertsOnly(der: Uint8Array): Uint8Array[] {
  const outer = new DerReader(der)
  const info = outer.sequence()
  outer.end()
  if (info.oid() !== pkcs7.signedData) throw new PkiError('certificate-malformed', 'a CMS message that is no SignedData')
  const explicit = new DerReader(info.content(contextConstructed(0)))
  info.end()
  const signed = explicit.sequence()
  explicit.end()
  readSmallInteger(signed.content(Tag.Integer))
  signed.content(Tag.Set)
  signed.content(Tag.Sequence)
  const list = new DerReader(signed.optional(contextConstructed(0))?.content ?? new Uint8Array())
  const certificates: Uint8Array[] = []
  while (!list.done) {
    if (certificates.length >= certificateLimit) throw new PkiError('too-large', `more than ${certificateLimit} certificates`)
    certificates.push(list.next(Tag.Sequence).whole)
  }
  if (certificates.length === 0) throw new PkiError('certificate-malformed', 'a CMS message without certificates')
  return certificates
}
