import type { Delegation } from '#shared/enrolment/delegation.ts'
import { isNameWithin } from '#shared/enrolment/delegation.ts'
import { minutes } from '#shared/time/instant.ts'

/** How far before its making a certificate may begin. */
const backDated = minutes(10)

/** What a certificate of a station's unit claims, however it came here. */
export interface ClaimedUnit {
  readonly issuerHex: string
  readonly serialHex: string
  readonly name: string
  readonly spkiSha256Hex: string
  /** Wall-clock ms. */
  readonly notBefore: number
  readonly notAfter: number
  /** Whether the station's own CA signed it, which must not outlive the window; the broker's own certificates may. */
  readonly byStation: boolean
  /** The board's serial number, where it is known. */
  readonly unit?: string | undefined
}

/** Why a unit is not taken into the fleet. */
export type ConflictKind =
  | 'outside-scope'
  | 'outside-window'
  | 'quota'
  | 'serial-twice'
  | 'name-taken'
  | 'key-taken'
  | 'certificate'
  | 'hook-denied'
  | 'hook-renamed'

/** The record that stands against a unit: never empty, so that a person sees both. */
export interface StandingRecord {
  readonly what: string
  readonly station?: string | undefined
  readonly unit?: string | undefined
  readonly name?: string | undefined
  readonly certificate?: string | undefined
  readonly key?: string | undefined
  readonly since?: number | undefined
}

export interface Conflict {
  readonly kind: ConflictKind
  readonly other: StandingRecord
}

/** What is in the registry of what the unit claims. */
export interface Standing {
  /** Certificates of this delegation that count, this one left out. */
  readonly issued: number
  /** A live certificate of another key for the same board. */
  readonly sameUnit?: StandingRecord | undefined
  /** A live device of that name with another key. */
  readonly sameName?: StandingRecord | undefined
  /** Whoever else has or had one of its keys. */
  readonly sameKey?: StandingRecord | undefined
}

/** Judges a unit by its delegation and by what is there already; undefined: it is taken. */
export function conflictOf(claimed: ClaimedUnit, delegation: Delegation, standing: Standing): Conflict | undefined {
  const { names, first, last, quota, notBefore, notAfter, station } = delegation
  if (!isNameWithin(delegation, claimed.name))
    return {
      kind: 'outside-scope',
      other: { what: `station ${station} may name ${names}, numbers ${first} to ${last}`, station },
    }
  if (
    claimed.notBefore < notBefore - backDated ||
    claimed.notBefore > notAfter ||
    (claimed.byStation && claimed.notAfter > notAfter)
  ) {
    const window = `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`
    return { kind: 'outside-window', other: { what: `station ${station} may issue from ${window}`, station, since: notBefore } }
  }
  if (standing.sameKey) return { kind: 'key-taken', other: standing.sameKey }
  if (standing.sameUnit) return { kind: 'serial-twice', other: standing.sameUnit }
  if (standing.sameName) return { kind: 'name-taken', other: standing.sameName }
  if (standing.issued >= quota)
    return { kind: 'quota', other: { what: `station ${station} may issue ${quota} certificates, and has`, station } }
  return undefined
}
