import type { AuthorityFace } from '#broker/identity/authority.ts'
import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import type { PeerRole } from '#shared/pki/roles.ts'

/**
 * Labels of EST (RFC 7030 §3.2.2): `/.well-known/est/LABEL/…` is one issuing CA of the several that a fleet has, named by the role of
 * those whom it certifies. Without a label the right itself says which CA issues.
 */
export type EstLabel = PeerRole

const labels: readonly EstLabel[] = ['device', 'operator', 'station']

/** Throws AditError `not-found`. */
export function readLabel(text: string | undefined): EstLabel | undefined {
  if (text === undefined) return undefined
  const label = labels.find((one) => one === text)
  if (label !== undefined) return label
  throw new AditError(
    'not-found',
    `There is no CA under the label "${escapeText(text)}".`,
    `The labels are ${labels.join(', ')}; without one the claim says which CA issues.`,
  )
}

/**
 * The certificates that a client is to know (RFC 7030 §4.1.3), DER, the present root first: every root that is trusted, those that lead
 * from one root to the next while roots change, and the CAs that issue; for a label, of those its own alone.
 */
export function caCertificates(authority: Pick<AuthorityFace, 'cacerts' | 'issuers'>, label: EstLabel | undefined): Uint8Array[] {
  const all = authority.cacerts()
  if (label === undefined) return all
  const others = new Set(
    [...authority.issuers].filter(({ role }) => role !== label).map(({ certificate }) => certificate.subjectKey),
  )
  return all.filter((der) => !others.has(parseCertificate(der).subjectKey))
}
