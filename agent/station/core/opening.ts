import { hasOwnPlace, isReplaced, quotaExhausted, scrappedBefore, windowOver } from '#agent/station/core/unit-words.ts'
import type { WayKind } from '#agent/station/line-event.ts'
import { type Delegation, isNameWithin } from '#shared/enrolment/delegation.ts'
import type { LineAccount, UnitAccount } from '#shared/enrolment/line-account.ts'
import { checkName, expandPattern } from '#shared/enrolment/name.ts'
import type { LedgerEntry } from '#shared/enrolment/station-ledger.ts'
import { AditError } from '#shared/errors.ts'

/** What a unit that comes to the line may ask for. */
export interface Wish {
  readonly name?: string
  /** Serial of the unit in whose place it comes. */
  readonly replaces?: string
}

/**
 * What the ledger is to say where a unit comes to the line; nothing where it is on it already, or was delivered. Throws AditError
 * `unit-scrapped`, `quota-exhausted`, `delegation-over`, `name-taken` or `outside-scope`.
 */
export function openingOf(account: LineAccount, unit: string, way: WayKind, wish: Wish, now: number): LedgerEntry | undefined {
  const known = account.unit(unit)
  if (known?.state === 'scrapped') throw scrappedBefore(known)
  if (known?.state === 'delivered') return undefined
  if (known) return known.state === 'failed' || known.way !== way ? { kind: 'retried', unit, way, at: now } : undefined
  const scope = account.delegation?.scope
  if (scope === undefined) throw new TypeError('a ledger without a delegation')
  if (now >= scope.notAfter) throw windowOver(scope)
  if (account.quotaLeft === 0) throw quotaExhausted(scope)
  const name = wish.name === undefined ? nextName(account, scope) : wished(account, scope, wish.name)
  return { kind: 'opened', unit, name, way, at: now, ...(wish.replaces !== undefined && { replaces: wish.replaces }) }
}

/**
 * Throws AditError `unit-scrapped` or `unit-delivered` where the board `by` cannot take the place of `old`: a number that
 * was scanned twice must not cost a second unit its identity. Said again after an interruption, the same is allowed.
 */
export function checkReplacement(account: LineAccount, old: UnitAccount, by: string): void {
  const other = account.unit(by)
  if (other?.replaces === old.unit && other.state !== 'scrapped') return
  if (other?.state === 'scrapped') throw scrappedBefore(other)
  if (other !== undefined && (other.state === 'delivered' || other.replaces !== undefined)) throw hasOwnPlace(other, old)
  for (const unit of account.units()) if (unit.replaces === old.unit) throw isReplaced(old, unit)
}

function nextName(account: LineAccount, scope: Delegation): string {
  const number = account.nextNumber((n) => expandPattern(scope.names, n))
  if (number === undefined) throw quotaExhausted(scope)
  return expandPattern(scope.names, number)
}

function wished(account: LineAccount, scope: Delegation, text: string): string {
  const name = checkName(text)
  if (!isNameWithin(scope, name))
    throw new AditError(
      'outside-scope',
      `This station may not name a unit ${name}.`,
      `Its names are ${scope.names}, numbers ${scope.first} to ${scope.last}.`,
    )
  const bearer = account.bearerOf(name)
  if (bearer === undefined) return name
  throw new AditError('name-taken', `The board ${bearer} is called ${name} already.`, 'Choose another name, or none.')
}
