import { makeNextRoot, writeIssuingCa, writeLink } from '#broker/identity/ca-certificates.ts'
import { answerListRequest, isListRequest, listPem, readListRequest, signRootList } from '#broker/identity/root-list.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { DerReader, Tag } from '#shared/pki/der.ts'
import { commonName, parseName, valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { verifyStockRequest } from '#shared/pki/request.ts'
import { type Role, roles } from '#shared/pki/roles.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * What only the root's key can do, wherever that is: in the broker, or on a machine without a network that a file is carried to.
 *
 *   request of a role    PEM: a certification request (PKCS#10) whose name is `adit ROLE CA ID`
 *   its answer           PEM: the certificate of that CA
 *   request of a root    PEM: the present root and the issuing CAs at work
 *   its answer           PEM: the next root, the link to it, the link back, and the same issuing CAs by the next root
 *   request of a list    see root-list.ts
 */
export interface RootWork {
  /** What is asked for, in words for the person who holds the root. */
  readonly asks: string
  /** Whether a new root is to be made; `crl`: its list of revoked CAs is to be signed. */
  readonly line: 'root' | 'crl' | Role
}

/** Throws AditError `request-refused`. */
export function readRootRequest(text: string): RootWork {
  if (isListRequest(text)) return { line: 'crl', asks: sound(() => readListRequest(text)).asks }
  const [request] = decoded('CERTIFICATE REQUEST', text)
  if (request !== undefined) {
    const { role, name } = requestedCa(request)
    return { line: role, asks: `the certificate of a new ${role} CA, ${name}` }
  }
  if (decoded('CERTIFICATE', text).length > 1)
    return { line: 'root', asks: 'a new root of the same fleet, and its word for the issuing CAs' }
  throw refused('it has neither a certification request nor the CAs of a fleet')
}

/** The root's list of revoked CAs, as PEM. Throws AditError `request-refused`. */
export const signListRequest = (text: string, root: Ca, now: WallTime, suite: Suite): string =>
  sound(() => answerListRequest(text, root, now, suite))

/** The certificate of a role's CA, as PEM. `pkiUrl`: see writeIssuingCa. Throws AditError `request-refused`. */
export function signRoleRequest(text: string, root: Ca, now: WallTime, suite: Suite, pkiUrl?: string): string {
  const [request] = decoded('CERTIFICATE REQUEST', text)
  if (request === undefined) throw refused('it has no certification request')
  const { role, name, spki } = requestedCa(request)
  return encodePem('CERTIFICATE', writeIssuingCa(role, { subject: commonName(name), spki }, root, now, suite, pkiUrl))
}

/** What a new root brings. */
export interface NextRoot {
  readonly root: Ca
  readonly link: Uint8Array
  readonly back: Uint8Array
  /** DER, in the order of the CAs given. */
  readonly forms: readonly Uint8Array[]
}

/** `issuing`: the CAs at work, which the next root certifies once more. */
export function succeedRoot(
  root: Ca,
  issuing: readonly { readonly role: Role; readonly certificate: Certificate }[],
  now: WallTime,
  suite: Suite,
  pkiUrl?: string,
): NextRoot {
  const next = makeNextRoot(root.certificate, now, suite)
  return {
    root: next,
    link: writeLink(root, next.certificate, now, suite),
    back: writeLink(next, root.certificate, now, suite, { back: true }),
    forms: issuing.map(({ role, certificate }) => writeIssuingCa(role, certificate, next, now, suite, pkiUrl)),
  }
}

/** The answer to a request of a root, and the new root itself. Throws AditError `request-refused` where it is of another fleet. */
export function signRootRequest(
  text: string,
  root: Ca,
  now: WallTime,
  suite: Suite,
  pkiUrl?: string,
): { answer: string; next: Ca } {
  const certificates = decoded('CERTIFICATE', text).map(readCertificate)
  if (!certificates.some(({ der }) => Buffer.compare(der, root.certificate.der) === 0))
    throw refused('it is of a fleet with another root')
  const issuing = certificates.flatMap((certificate) => {
    const role = roles.find((name) => roleOf(certificate) === name)
    return role === undefined ? [] : [{ role, certificate }]
  })
  const made = succeedRoot(root, issuing, now, suite, pkiUrl)
  // Its key goes where this root's is: a year is until somebody comes by.
  const list = listPem(signRootList(made.root, [], 0, now, suite))
  const ders = [made.root.certificate.der, made.link, made.back, ...made.forms]
  return { answer: ders.map((der) => encodePem('CERTIFICATE', der)).join('') + list, next: made.root }
}

/** Which role's CA a certificate is, by its name; undefined of anything else. */
export function roleOf({ subjectName }: Pick<Certificate, 'subjectName'>): Role | undefined {
  const [name = ''] = valuesOf(subjectName, names.commonName)
  return roleInName(name)
}

const roleInName = (name: string): Role | undefined =>
  roles.find((role) => new RegExp(`^adit ${role} CA [0-9a-f]{8}$`).test(name))

function requestedCa(der: Uint8Array): { role: Role; name: string; spki: Uint8Array } {
  try {
    const { spki, kind } = verifyStockRequest(der)
    const outer = new DerReader(der).sequence()
    const body = new DerReader(outer.next(Tag.Sequence).content)
    body.next(Tag.Integer)
    const [name = ''] = valuesOf(parseName(body.next(Tag.Sequence).whole), names.commonName)
    const role = roleInName(name)
    if (role === undefined || kind !== 'p256') throw refused('it asks for no CA of a fleet')
    return { role, name, spki }
  } catch (error) {
    if (error instanceof PkiError) throw refused(error.message)
    throw error
  }
}

const readCertificate = (der: Uint8Array): Certificate => sound(() => parseCertificate(der))

const decoded = (label: string, text: string): Uint8Array[] => sound(() => decodePem(label, text))

function sound<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof PkiError) throw refused(error.message)
    throw error
  }
}

const refused = (why: string): AditError =>
  new AditError('request-refused', `The request to the root is refused: ${why}.`, 'Make one with: adit-broker ca request')
