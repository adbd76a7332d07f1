import type { CaFiles } from '#broker/identity/ca-files.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, isSignedBy, parseCertificate } from '#shared/pki/certificate.ts'
import { keyIdentifier } from '#shared/pki/certificate-writer.ts'
import { isListOf, parseCrl, type RevocationList } from '#shared/pki/crl-reader.ts'
import { writeCrl } from '#shared/pki/crl-writer.ts'
import { DerReader, readTime, readWhole, Tag } from '#shared/pki/der.ts'
import { sequence, time } from '#shared/pki/der-writer.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { days, type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * A root's list of the issuing CAs that nobody is to believe any more: those whose keys were lost. It is signed wherever the root's key is:
 *
 *   request of a list    PEM "ADIT ROOT LIST": SEQUENCE { root Certificate, SEQUENCE OF SEQUENCE { ca Certificate, revokedAt Time } }
 *   its answer           PEM "X509 CRL"
 *
 * It lives long, since the root's key is seldom seen; where that is in the broker, the list is made anew at half of its life.
 */
export interface FallenCa {
  readonly certificate: Certificate
  readonly revokedAt: WallTime
}

/** A year and a day: whoever holds the root comes by once a year. */
const life = days(366)
/** So long before its end a list that only a person can renew is called due. */
export const warnBefore = days(60)

const requestLabel = 'ADIT ROOT LIST'
const listLabel = 'X509 CRL'

/** The certificates by that root of CAs whose keys were lost and which nobody believes. */
export function fallenCas({ succession, issuing }: CaFiles, root: Certificate, suite: Suite): FallenCa[] {
  const { former, rotation, present } = succession
  const fallen = former.filter(({ compromised }) => compromised).map(({ stem, retiredAt }) => ({ stem, at: retiredAt }))
  if (rotation?.phase === 'retired' && rotation.compromised && rotation.line !== 'root')
    fallen.push({ stem: present[rotation.line], at: rotation.since })
  const rootKey = keyIdentifier(root.spki, suite)
  return fallen.flatMap(({ stem, at }) => {
    const ca = issuing.get(stem)
    const all = ca === undefined ? [] : [...ca.forms.values(), ...ca.past]
    const ours = all.filter(({ extensions: { authorityKeyId } }) => equalPublic(authorityKeyId?.id ?? new Uint8Array(), rootKey))
    return ours.map((certificate) => ({ certificate, revokedAt: wallTime(at) }))
  })
}

/** DER. `above`: the number of the list before, which this one passes; numbers follow the clock. */
export function signRootList(root: Ca, fallen: readonly FallenCa[], above: number, now: WallTime, suite: Suite): Uint8Array {
  const entries = fallen.map(({ certificate: { serial }, revokedAt }) => ({
    ...{ serial, revokedAt },
    reason: 'ca-compromise' as const,
  }))
  const number = Math.max(above + 1, Math.floor(now))
  const nextUpdate = wallTime(Math.min(now + life, root.certificate.notAfter))
  return writeCrl({ issuer: root.certificate, number, thisUpdate: now, nextUpdate, entries }, root.pair, suite)
}

/** Names every CA that has fallen, and none else. */
export const isComplete = (list: RevocationList, fallen: readonly FallenCa[]): boolean =>
  list.revoked.size === fallen.length && fallen.every(({ certificate }) => list.revoked.has(certificate.serialHex))

/** Whether who has the root's key is to sign another. */
export const isListDue = (list: RevocationList | undefined, fallen: readonly FallenCa[], now: number): boolean =>
  list === undefined || !isComplete(list, fallen) || list.nextUpdate - now < life / 2 || list.thisUpdate > now

export const isListRequest = (text: string): boolean => text.includes(`-----BEGIN ${requestLabel}-----`)
/** The answer to a request of a root has one too, after its certificates. */
export const isListAnswer = (text: string): boolean =>
  text.includes(`-----BEGIN ${listLabel}-----`) && !text.includes('-----BEGIN CERTIFICATE-----')

/** PEM, as a list is kept and answered. */
export const listPem = (der: Uint8Array): string => encodePem(listLabel, der)

/** A root's list in a file of it, or in the answer to a request of a root; undefined where there is none. Throws PkiError. */
export function listIn(answer: string, root: Certificate): RevocationList | undefined {
  const [der] = decodePem(listLabel, answer)
  return der && readRootList(der, root)
}

/** PEM. */
export const requestRootList = (root: Certificate, fallen: readonly FallenCa[]): string =>
  encodePem(
    requestLabel,
    sequence(root.der, sequence(...fallen.map(({ certificate, revokedAt }) => sequence(certificate.der, time(revokedAt))))),
  )

/** What a request asks for. Throws PkiError. */
export function readListRequest(text: string): { root: Certificate; fallen: readonly FallenCa[]; asks: string } {
  const [der = new Uint8Array()] = decodePem(requestLabel, text)
  const fields = new DerReader(readWhole(der, Tag.Sequence))
  const root = parseCertificate(fields.next(Tag.Sequence).whole)
  const list = fields.sequence()
  fields.end()
  const fallen: FallenCa[] = []
  while (!list.done) {
    const entry = list.sequence()
    const certificate = parseCertificate(entry.next(Tag.Sequence).whole)
    const revokedAt = wallTime(readTime(entry.next()))
    entry.end()
    if (!isSignedBy(certificate, root)) throw new PkiError('signature-invalid', 'it names a CA that this root has not signed')
    fallen.push({ certificate, revokedAt })
  }
  const called = fallen.map(({ certificate }) => `${valuesOf(certificate.subjectName, names.commonName)[0]}, revoked`)
  return { root, fallen, asks: `the list of revoked CAs of this root (${called.join('; ') || 'none'})` }
}

/** The answer to a request, as PEM. Throws PkiError where it is of another root. */
export function answerListRequest(text: string, root: Ca, now: WallTime, suite: Suite): string {
  const asked = readListRequest(text)
  if (!equalPublic(asked.root.der, root.certificate.der))
    throw new PkiError('issuer-unknown', 'it is of a fleet with another root')
  return listPem(signRootList(root, asked.fallen, 0, now, suite))
}

/** What the root's holder has signed, judged before it is kept: DER. Throws PkiError. */
export function readListAnswer(
  text: string,
  {
    root,
    before,
    fallen,
    now,
  }: { root: Certificate; before: RevocationList | undefined; fallen: readonly FallenCa[]; now: number },
): RevocationList {
  const list = listIn(text, root)
  if (list === undefined) throw new PkiError('crl-malformed', 'it holds no list')
  if (list.nextUpdate <= now)
    throw new PkiError('expired', 'the list has ended: look at the clock of the machine where it was signed')
  if (list.thisUpdate > now + days(1))
    throw new PkiError('not-yet-valid', 'the list is of the future: look at the clock of the machine where it was signed')
  if (before !== undefined && list.number < before.number)
    throw new PkiError('crl-malformed', 'a newer list is here already: look at the clock of the machine where it was signed')
  if (!isComplete(list, fallen))
    throw new PkiError('crl-malformed', 'it does not name the CAs that are revoked now: ask for it again')
  return list
}

/** Of that root, by its own signature. Throws PkiError. */
function readRootList(der: Uint8Array, root: Certificate): RevocationList {
  const list = parseCrl(der)
  if (!isListOf(list, root)) throw new PkiError('signature-invalid', 'the list is not by the root of this fleet')
  return list
}
