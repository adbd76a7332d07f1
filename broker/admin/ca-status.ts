import type { RootListing } from '#broker/identity/authority.ts'
import type { CaStanding, StandingCa } from '#broker/identity/ca-standing.ts'
import { isComplete, warnBefore } from '#broker/identity/root-list.ts'
import { type Line, lineWords, phases, type Rotation } from '#broker/identity/succession.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { days } from '#shared/time/instant.ts'
import { isoTime } from './iso-time.ts'
import type { Office } from './office.ts'

/** What a person is to do about the authorities; `due`: now. */
interface Advice {
  readonly due: boolean
  readonly text: string
}

/** An authority is to be rotated when so much of its life is left: two years, in which every device is seen. */
const rotateBefore = days(730)

/** Principals that hold something, and those of them whose certificate has ended. */
export interface Holders {
  readonly count: number
  readonly asleep: number
}

const nobody: Holders = { count: 0, asleep: 0 }

/** `adit-broker ca status`: which authorities there are, until when, how far a rotation has come, whom it would leave behind, what to do next. */
export async function caStatus({ authority, registry, suite, clock }: Office) {
  const { standing, rootKeyHere } = authority
  const now = clock.wall()
  const counts = new Map((await registry.authorities.issuers()).map((issuer) => [issuer.issuerHex, issuer]))
  const hash = (certificate: Certificate): string => toHex(suite.hash('sha256', certificate.spki))
  const authorities = standing.authorities.map((ca) => ({
    role: ca.role,
    name: ca.stem,
    issues: standing.issuingStem(ca.role) === ca.stem,
    word: ca.word,
    until: isoTime(ca.forms[0].notAfter),
    holders: counts.get(hash(ca.forms[0]))?.newest ?? 0,
    asleep: counts.get(hash(ca.forms[0]))?.asleep ?? 0,
  }))
  const { rotation } = standing
  const behind = rotation && (await peopleBehind(rotation, { authority, registry, suite }))
  const present = authority.rootLists.find(({ root }) => root === standing.pinnedRoot)
  const advice = [
    ...expiryAdvice(standing, now),
    ...listAdvice(present, rootKeyHere, now),
    ...(rotation ? [rotationAdvice(rotation, behind ?? nobody)] : []),
  ]
  return {
    root: {
      fingerprint: toHex(authority.rootFingerprint),
      until: isoTime(standing.pinnedRoot.notAfter),
      key: rootKeyHere ? ('here' as const) : ('offline' as const),
      trusted: standing.trustedRoots.map((root) => rootName(root, suite)),
      list: listOf(present),
      predecessors: standing.knownRoots.length - standing.trustedRoots.length,
    },
    authorities,
    rotation: rotation
      ? {
          line: rotation.line,
          phase: rotation.phase,
          next: rotation.next,
          since: isoTime(rotation.since),
          behind: behind?.count,
          asleep: behind?.asleep,
          compromised: rotation.compromised,
        }
      : null,
    waiting: authority.rotation.pending ?? null,
    advice: advice.map(({ text }) => text),
    due: advice.some(({ due }) => due),
  }
}

/**
 * Whom the rotation has not reached: of a role, principals whose newest certificate is by another CA than that which issues; of the root,
 * agents that have not said that they trust the next.
 */
export async function peopleBehind(
  { line, next, phase }: Rotation,
  { authority, registry, suite }: Pick<Office, 'authority' | 'registry' | 'suite'>,
): Promise<Holders> {
  const { standing } = authority
  if (line === 'root') {
    const newest = phase === 'prepared' ? undefined : standing.knownRoots.at(-1)
    return newest === undefined ? nobody : { count: await registry.authorities.withoutRoot(rootName(newest, suite)), asleep: 0 }
  }
  const reaches = phases.indexOf(phase) >= phases.indexOf('issuing')
  return holdersOf(standing, line, (ca) => (reaches ? ca.stem !== next : ca.stem === next), { registry, suite })
}

/** Principals of the role whose newest certificate is by a CA that `which` chooses. */
export async function holdersOf(
  standing: CaStanding,
  line: Line,
  which: (ca: StandingCa) => boolean,
  { registry, suite }: Pick<Office, 'registry' | 'suite'>,
): Promise<Holders> {
  const chosen = standing.authorities.filter((ca) => ca.role === line && which(ca))
  const names = new Set(chosen.map(({ forms }) => toHex(suite.hash('sha256', forms[0].spki))))
  return (await registry.authorities.issuers())
    .filter(({ issuerHex }) => names.has(issuerHex))
    .reduce((sum, { newest, asleep }) => ({ count: sum.count + newest, asleep: sum.asleep + asleep }), nobody)
}

function expiryAdvice(standing: CaStanding, now: number): Advice[] {
  const lines: [Line, Certificate][] = [
    ['root', standing.issuingRoot],
    ...(['device', 'operator', 'station', 'api'] as const).map((role): [Line, Certificate] => [
      role,
      standing.issuing(role).certificate,
    ]),
  ]
  return lines.flatMap(([line, { notAfter }]) => {
    if (standing.rotation?.line === line || notAfter - now > rotateBefore) return []
    const text = `The ${lineWords(line)} ends on ${isoTime(notAfter)}: adit-broker ca rotate ${line}`
    return [{ due: true, text }]
  })
}

const listOf = (present: RootListing | undefined) =>
  present?.list === undefined
    ? null
    : {
        since: isoTime(present.list.thisUpdate),
        until: isoTime(present.list.nextUpdate),
        revoked: present.list.revoked.size,
      }

/** The root's list of revoked CAs: where its key is here it is made anew in time, so that only what hinders that is told. */
function listAdvice(present: RootListing | undefined, rootKeyHere: boolean, now: number): Advice[] {
  if (present === undefined) return []
  const { list, fallen } = present
  const what = "The root's list of revoked CAs"
  const how = rootKeyHere
    ? 'the broker signs another when it starts, or within 12 hours'
    : 'adit-broker ca request --role crl --out FILE, and have it signed where the root is'
  const told = (why: string): Advice[] => [{ due: true, text: `${what} ${why}: ${how}` }]
  if (list === undefined) return told('is not there, so that outsiders who ask for it refuse every certificate')
  if (!isComplete(list, fallen)) {
    const missing = fallen.filter(({ certificate }) => !list.revoked.has(certificate.serialHex))
    const called = missing.map(({ certificate }) => valuesOf(certificate.subjectName, names.commonName)[0])
    return told(missing.length > 0 ? `does not name ${called.join(', ')}` : 'names a CA that is believed again')
  }
  if (list.nextUpdate - now > warnBefore) return []
  return told(`${list.nextUpdate > now ? 'ends' : 'ended'} on ${isoTime(list.nextUpdate)}`)
}

function rotationAdvice({ line, phase }: Rotation, { count: behind, asleep }: Holders): Advice {
  const go = (to: string): string => `adit-broker ca rotate ${line} --phase ${to}`
  const back = `back: adit-broker ca rollback ${line}`
  const left = behind === 0 ? 'nobody is behind' : `${behind} have not moved yet${asleepWords(asleep)}`
  switch (phase) {
    case 'prepared':
      return { due: true, text: `The next ${lineWords(line)} is made, and nobody knows of it. Go on: ${go('trusted')}; ${back}` }
    case 'trusted':
      return { due: true, text: `The next ${lineWords(line)} is trusted here. Go on: ${go('issuing')}; ${back}` }
    case 'issuing':
      return {
        due: behind === 0,
        text: `The next ${lineWords(line)} issues; ${left}. When all are over: ${go('retired')}; ${back}`,
      }
    case 'retired':
      return {
        due: behind === 0,
        text: `The former ${lineWords(line)} is retired; ${left}. End it, without a way back: ${go('finished')}; ${back}`,
      }
  }
}

/** Nobody need wait for them: what the former CA signed may renew for as long as its lane lasts, unless its key was lost. */
export const asleepWords = (asleep: number): string =>
  asleep === 0 ? '' : `, ${asleep} of them asleep, who may renew when they wake`
