import { AditError } from '#shared/errors.ts'
import { type Role, roles } from '#shared/pki/roles.ts'

/**
 * How the authorities of a fleet follow one another: which are at work, and how far the change to the next has come. Pure; ca-files.ts keeps
 * it in DATA/ca/succession.json, which is replaced whole at every step.
 *
 *   (none) -> prepared -> trusted -> issuing -> retired -> (finished)       forward, one phase at a time
 *   (none) <- prepared <- trusted <- issuing <- retired                     back, likewise
 *
 *              the next one's signature   who issues   the former one's signature
 *   prepared   means nothing yet          the former   is believed
 *   trusted    is believed                the former   is believed
 *   issuing    is believed                the next     is believed
 *   retired    is believed                the next     lets its holder renew, no more
 *
 * When it is finished the former one's key is destroyed, so that there is no way back.
 */
export const phases = ['prepared', 'trusted', 'issuing', 'retired'] as const

export type Phase = (typeof phases)[number]

/** What can be rotated: the root, or the issuing CA of a role. One at a time. */
export type Line = 'root' | Role

export const lines: readonly Line[] = ['root', ...roles]

/** A stem is the beginning of the names of an authority's files: `device`, `device-1a2b3c4d`. */
export interface Rotation {
  readonly line: Line
  readonly phase: Phase
  /** Stem of the one that comes. */
  readonly next: string
  /** Wall-clock ms: of the first phase, and of this one. */
  readonly begun: number
  readonly since: number
  /** It was retired and rolled back: there may be agents that trust the next root alone. */
  readonly wasRetired: boolean
  /** The former one's key is in strange hands: once it is retired, its certificates may not even renew. */
  readonly compromised: boolean
}

/** An issuing CA that issues no more, kept by name for ever. */
export interface FormerCa {
  readonly line: Role
  readonly stem: string
  /** Wall-clock ms. */
  readonly retiredAt: number
  readonly compromised: boolean
}

export interface Succession {
  /** Stems of the roots, the first of the fleet first, the present one last. */
  readonly roots: readonly string[]
  readonly present: Readonly<Record<Role, string>>
  readonly rotation?: Rotation
  /** A key that waits for its certificate. */
  readonly pending?: { readonly line: Role; readonly stem: string; readonly since: number }
  readonly former: readonly FormerCa[]
  /** Stems whose keys are to be destroyed, and may not be yet. */
  readonly erase: readonly string[]
}

/** As it is at the first run. */
export const firstSuccession: Succession = {
  roots: ['root'],
  present: { device: 'device', operator: 'operator', station: 'station', api: 'api' },
  former: [],
  erase: [],
}

export const presentRoot = ({ roots }: Succession): string => roots.at(-1) as string

export const presentOf = (succession: Succession, line: Line): string =>
  line === 'root' ? presentRoot(succession) : succession.present[line]

/** A rotation may begin. Throws AditError `ca-phase`. */
export function checkMayBegin({ rotation, pending }: Succession, line: Line): void {
  if (rotation !== undefined) throw busy(rotation)
  if (pending !== undefined && pending.line !== line)
    throw new AditError(
      'ca-phase',
      `A request for the ${pending.line} CA waits for its answer.`,
      `Install the answer, or give it up: adit-broker ca rollback ${pending.line}`,
    )
}

/** The next one's key and certificates are there. */
export function begin(succession: Succession, line: Line, next: string, now: number): Succession {
  checkMayBegin(succession, line)
  const { pending: _answered, ...rest } = succession
  const rotation = { line, phase: 'prepared', next, begun: now, since: now, wasRetired: false, compromised: false } as const
  return { ...rest, rotation }
}

/** One phase forward; `finished` after `retired`. The phase that is reached already stays. Throws AditError `ca-phase`. */
export function advance(
  succession: Succession,
  line: Line,
  to: Phase | 'finished',
  now: number,
  { compromised = false } = {},
): Succession {
  const rotation = rotationOf(succession, line)
  if (rotation.phase === to) return succession
  const following = phases[phases.indexOf(rotation.phase) + 1] ?? 'finished'
  if (to !== following)
    throw new AditError(
      'ca-phase',
      `The rotation of the ${lineWords(line)} is ${rotation.phase}; what follows is ${following}.`,
      `One phase at a time: adit-broker ca rotate ${line} --phase ${following}`,
    )
  if (to === 'finished') return finish(succession, rotation)
  return { ...succession, rotation: { ...rotation, phase: to, since: now, compromised: rotation.compromised || compromised } }
}

/** One phase back; before `prepared` there is nothing left of the next one. Throws AditError `ca-phase`. */
export function rollBack(succession: Succession, line: Line, now: number): Succession {
  const { pending } = succession
  if (succession.rotation === undefined && pending?.line === line) {
    const { pending: _given, ...rest } = succession
    return { ...rest, erase: [...rest.erase, pending.stem] }
  }
  const rotation = rotationOf(succession, line)
  const before = phases[phases.indexOf(rotation.phase) - 1]
  if (before === undefined) {
    const { rotation: _given, ...rest } = succession
    return { ...rest, erase: [...rest.erase, rotation.next] }
  }
  const wasRetired = rotation.wasRetired || rotation.phase === 'retired'
  return { ...succession, rotation: { ...rotation, phase: before, since: now, wasRetired } }
}

function finish(succession: Succession, { line, next, since, compromised }: Rotation): Succession {
  const { rotation: _done, ...rest } = succession
  const erase = [...rest.erase, presentOf(succession, line)]
  if (line === 'root') return { ...rest, roots: [...rest.roots, next], erase }
  const former: FormerCa = { line, stem: rest.present[line], retiredAt: since, compromised }
  return { ...rest, present: { ...rest.present, [line]: next }, former: [...rest.former, former], erase }
}

/** The rotation of that line. Throws AditError `ca-phase` where there is none, or another. */
export function rotationOf({ rotation }: Succession, line: Line): Rotation {
  if (rotation === undefined)
    throw new AditError(
      'ca-phase',
      `The ${lineWords(line)} is not being rotated.`,
      `Begin with: adit-broker ca rotate ${line} --phase prepared`,
    )
  if (rotation.line !== line) throw busy(rotation)
  return rotation
}

export const lineWords = (line: Line): string => (line === 'root' ? 'root' : `${line} CA`)

const busy = ({ line, phase }: Rotation): AditError =>
  new AditError(
    'ca-phase',
    `The ${lineWords(line)} is being rotated (${phase}); there is one rotation at a time.`,
    `End that first: adit-broker ca status says what comes next; or adit-broker ca rollback ${line}`,
  )

export const encodeSuccession = (succession: Succession): string => `${JSON.stringify({ version: 1, ...succession }, null, 2)}\n`

/** Undefined where it is not a succession, whole. */
export function decodeSuccession(text: string): Succession | undefined {
  try {
    const { version, ...succession } = JSON.parse(text) as Succession & { version: unknown }
    const { roots, present, rotation, pending, former, erase } = succession
    const stems = [
      ...[...roots, ...erase, ...former.map(({ stem }) => stem), ...roles.map((role) => present[role])],
      ...(rotation ? [rotation.next] : []),
      ...(pending ? [pending.stem] : []),
    ]
    const isKnown = rotation === undefined || (phases.includes(rotation.phase) && lines.includes(rotation.line))
    return version === 1 && roots.length > 0 && isKnown && stems.every(isStem) ? succession : undefined
  } catch {
    return undefined
  }
}

/** What is part of the name of a file. */
const isStem = (text: unknown): boolean =>
  typeof text === 'string' && /^(?:root|device|operator|station|api)(?:-[0-9a-f]{8})?$/.test(text)
