import { contextConstructed, DerReader, readWhole, Tag } from './der.ts'
import { element, oid, sequence, setOf, smallInteger } from './der-writer.ts'
import { pkcs7 } from './oids.ts'
import { PkiError } from './pki-error.ts'

/**
 * A "certs-only" CMS message: SignedData without content and signers (RFC 5652 §5.1, RFC 7030 §4.1.3). What EST answers with.
 *
 *   ContentInfo  ::= SEQUENCE { contentType signedData, [0] EXPLICIT SignedData }
 *   SignedData   ::= SEQUENCE { version 1, digestAlgorithms SET {}, encapContentInfo SEQUENCE { data },
 *                               certificates [0] IMPLICIT SET OF Certificate, crls [1] OPTIONAL, signerInfos SET {} }
 */

/** Certificates in one message at most. */
const certificateLimit = 16

/** `certificates`: DER each. The first of the list need not come first in the message: DER orders a SET by its encodings. */
export function encodeCertsOnly(certificates: readonly Uint8Array[]): Uint8Array {
  const set = [...certificates].sort((a, b) => Buffer.compare(a, b))
  const signedData = sequence(
    smallInteger(1),
    setOf(),
    sequence(oid(pkcs7.data)),
    element(contextConstructed(0), ...set),
    setOf(),
  )
  return sequence(oid(pkcs7.signedData), element(contextConstructed(0), signedData))
}

/** The certificates of a message, as copies in the order in which they stand there. Throws PkiError `der-malformed` or `too-large`. */
export function decodeCertsOnly(der: Uint8Array): Uint8Array[] {
  const content = new DerReader(readWhole(der, Tag.Sequence))
  if (content.oid() !== pkcs7.signedData) throw malformed('no signed data')
  const signedData = new DerReader(readWhole(content.content(contextConstructed(0)), Tag.Sequence))
  content.end()
  signedData.content(Tag.Integer)
  signedData.content(Tag.Set)
  signedData.content(Tag.Sequence)
  const certificates = new DerReader(signedData.content(contextConstructed(0)))
  const found: Uint8Array[] = []
  while (!certificates.done) {
    if (found.length === certificateLimit)
      throw new PkiError('too-large', `more than ${certificateLimit} certificates in one message`)
    found.push(Uint8Array.from(certificates.next(Tag.Sequence).whole))
  }
  return found
}

const malformed = (what: string): PkiError => new PkiError('der-malformed', `the message is no certs-only CMS: ${what}`)
