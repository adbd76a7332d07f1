import { roleOf } from '#broker/identity/root-desk.ts'
import { listIn } from '#broker/identity/root-list.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, isSelfIssued, isSignedBy, parseCertificate } from '#shared/pki/certificate.ts'
import type { RevocationList } from '#shared/pki/crl-reader.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { checkCertificate, checkIssuer, checkIssuerPurposes, checkLink } from '#shared/pki/path-rules.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { Role } from '#shared/pki/roles.ts'
import { reachableRoots } from '#shared/pki/root-succession.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** What was asked for, against which an answer is judged. */
export interface Asked {
  readonly root: Certificate
  /** The key that waits for its certificate. */
  readonly waiting: { readonly role: Role; readonly stem: string; readonly spki: Uint8Array } | undefined
  /** The CAs at work. */
  readonly issuing: readonly { readonly role: Role; readonly certificate: Certificate }[]
  readonly now: WallTime
  readonly suite: Suite
}

export type Answer =
  | { readonly line: Role; readonly stem: string; readonly certificate: Certificate }
  | {
      readonly line: 'root'
      readonly next: NextOfAnswer
    }

interface NextOfAnswer {
  readonly root: Certificate
  readonly link: Uint8Array
  readonly back: Uint8Array
  readonly forms: readonly Uint8Array[]
  /** Of revoked CAs; undefined of who signs none yet. */
  readonly list: RevocationList | undefined
}

/** What the root's holder has signed, judged whole before anything of it is kept. Throws AditError `request-refused`. */
export function readAnswer(text: string, asked: Asked): Answer {
  try {
    const certificates = decodePem('CERTIFICATE', text).map((der) => parseCertificate(der))
    const [first] = certificates
    if (first === undefined) throw refused('it has no certificate')
    return isSelfIssued(first) ? rootAnswer(certificates, text, asked) : roleAnswer(first, asked)
  } catch (error) {
    if (error instanceof PkiError) throw refused(error.message)
    throw error
  }
}

function roleAnswer(certificate: Certificate, { waiting, root, now }: Asked): Answer {
  if (waiting === undefined || !equalPublic(certificate.spki, waiting.spki))
    throw refused('no request of this broker waits for it')
  checkSigned(certificate, waiting.role, root, now)
  return { line: waiting.role, stem: waiting.stem, certificate }
}

function rootAnswer(certificates: readonly Certificate[], text: string, { root, waiting, issuing, now, suite }: Asked): Answer {
  if (waiting !== undefined) throw refused(`a request for the ${waiting.role} CA is waiting instead`)
  const found = { roots: certificates.map(({ der }) => der), links: certificates.map(({ der }) => der) }
  const [, next, ...others] = reachableRoots([root], found, now, suite)
  if (next === undefined || others.length > 0) throw refused('it has no new root that ours has signed for')
  const [, former] = reachableRoots([next], { roots: [root.der], links: found.links }, now, suite)
  if (former === undefined) throw refused('the new root has not signed for ours')
  const linkBy = (signer: Certificate, holder: Certificate): Uint8Array =>
    (certificates.find((one) => isLink(one, signer, holder)) as Certificate).der
  const forms = issuing.map(({ role, certificate }) => {
    const form = certificates.find((one) => roleOf(one) === role && equalPublic(one.spki, certificate.spki))
    if (form === undefined || form.subjectKey !== certificate.subjectKey) throw refused(`the ${role} CA is not in it`)
    checkSigned(form, role, next, now)
    return form.der
  })
  return {
    line: 'root',
    next: { root: next, link: linkBy(root, next), back: linkBy(next, root), forms, list: listIn(text, next) },
  }
}

const isLink = (link: Certificate, signer: Certificate, holder: Certificate): boolean =>
  link.extensions.authorityKeyId !== undefined && equalPublic(link.spki, holder.spki) && isSignedBy(link, signer)

/** An issuing CA of the role, by that root. */
function checkSigned(certificate: Certificate, role: Role, root: Certificate, now: WallTime): void {
  checkCertificate(certificate, now)
  checkIssuer(certificate, false)
  checkIssuerPurposes(certificate, role === 'api' ? [purposes.serverAuth] : [purposes.clientAuth, rolePurposes[role]])
  checkLink(certificate, root)
  if (roleOf(certificate) !== role || !isSignedBy(certificate, root)) throw refused('it is not by the root of this fleet')
}

const refused = (why: string): AditError =>
  new AditError(
    'request-refused',
    `The answer is not taken: ${why}.`,
    'Sign the request that this broker made last, with its own root.',
  )
