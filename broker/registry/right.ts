import type { Kysely } from 'kysely'
import { AditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import type { Principal, PrincipalKind } from './principal.ts'
import type { Tables } from './schema.ts'
import type { WriteTransaction } from './store-context.ts'

/** Who asks to enrol, as its request shows it. */
export interface Bid {
  /** SHA-256 of the SPKI of the key to be certified, hex; its possession was proven. */
  readonly spkiSha256: string
  /** X25519 key whose possession was proven, 64 hex digits. */
  readonly tunnelKey?: string
  /** What the request says its serial number is: not proven, good only to be held against a list. */
  readonly statedSerial?: string
  /** The moment for which the right is judged: now, or when the request began to wait for a person. */
  readonly shownAt: WallTime
}

/** What one more use of a right gives. */
export interface Offer {
  readonly role: PrincipalKind
  /** A name, or a pattern with a counter; without one, the name is made from the key. */
  readonly name?: string
  readonly tags: readonly string[]
  readonly groups: readonly string[]
  readonly admin: boolean
  /** Whether a person must say yes first. */
  readonly approval: boolean
  /** Uses left, this one included: so many requests may wait for a person at once. */
  readonly left: number
  /** The unit's serial number, where the right proves it or lists it. */
  readonly serial?: string
}

/**
 * A right to enrol: a claim's credentials, a factory certificate, a station's word for a unit. Whatever it is, `RightUses` makes of it
 * exactly one principal for each key, and counts its uses in the transaction that does (P-19).
 *
 *   prove -> used with this key before? then that is the answer -> offer -> burn -> enlisted
 */
export interface Right {
  /** Names it for ever: `claim:0123456789abcdef`, `idevid:SERIAL`. Actor in the audit log; what precedes the colon is its kind. */
  readonly id: string
  /** Whether whoever shows it may ask at all. Throws AditError with the right's own fault. */
  prove(db: Kysely<Tables>, bid: Bid): Promise<void>
  /** What a further use would give; counts nothing. Throws AditError where none may be had. */
  offer(db: Kysely<Tables>, bid: Bid): Promise<Offer>
  /** Within the transaction in which `prove` and `offer` were asked. Counts the use and says the new principal's name: `wished`, where a person or the hook wants another than the right has. */
  burn(transaction: WriteTransaction, bid: Bid, wished: string | undefined): Promise<string>
  /** The principal that it has made, where whoever shows it again may come back as that one: a board by its IDevID. */
  holder?(db: Kysely<Tables>): Promise<number | undefined>
  /** Ties what the right knows besides to the principal that it has made. */
  enlisted?(transaction: WriteTransaction, principal: Principal, bid: Bid): Promise<void>
}

/** What a person or the hook wants otherwise than the right has it. */
export interface Wish {
  readonly name?: string
  /** Besides the right's own. */
  readonly tags?: readonly string[]
}

/** For a place that enrols one role alone. Throws AditError `claim-wrong-role`. */
export function assertRole(role: PrincipalKind, expected: PrincipalKind | undefined): void {
  if (expected === undefined || role === expected) return
  throw new AditError('claim-wrong-role', `This claim is for a ${role}.`, `Use it with ${enrolCommand[role]}.`)
}

const enrolCommand: Record<PrincipalKind, string> = {
  device: 'adit-agent enrol',
  operator: 'adit login',
  station: 'adit station init',
}
