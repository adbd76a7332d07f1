import { equalPublic } from '#shared/bytes/equal.ts'
import type { LineAccount } from '#shared/enrolment/line-account.ts'
import { type DelegationStatement, type PeerStatement, readStatement } from '#shared/fleet/statement.ts'
import { decodeBody } from '#shared/fleet/statement-body.ts'
import { outsideScope } from '#shared/fleet/station-scope.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { CborError } from '#shared/telemetry/cbor.ts'
import { days, wallTime } from '#shared/time/instant.ts'

/** A device of the station's as the broker says that it is: unsigned, and to be believed in nothing that the ledger knows better. */
export interface OfferedDevice {
  /** The board's serial number; null where the broker does not know it. */
  readonly unit: string | null
  /** Payload of the statement, of version 0. */
  readonly draft: Uint8Array
}

/** Why the station does not vouch for a device that the broker offers. */
export interface Doubt {
  readonly unit: string | null
  readonly name: string
  readonly why: string
}

export interface VouchingTerms {
  readonly delegation: DelegationStatement
  /** SHA-256 of the fleet's root certificate. */
  readonly fleet: Uint8Array
  /** Wall-clock ms. */
  readonly now: number
}

/** How early a statement begins, for devices whose clocks are behind. */
const lead = days(1)

/**
 * What the station says of a device: its statement, of version 0; `undelivered` where it is to wait, since its keys may be made anew; or why
 * it says nothing. Whose name, board and tunnel key it is the ledger says, so that a broker in other hands gets no foreign key signed.
 */
export function vouchFor(
  account: LineAccount,
  { unit, draft }: OfferedDevice,
  { delegation, fleet, now }: VouchingTerms,
): PeerStatement | Doubt | 'undelivered' {
  const offered = readDraft(draft)
  if (offered === undefined) return { unit, name: '?', why: 'what the broker would have signed is no statement of a device' }
  const { name, tunnelKey } = offered
  const doubt = (why: string): Doubt => ({ unit, name, why })
  const bearer = account.bearerOf(name)
  const found = bearer === undefined ? undefined : account.unit(bearer)
  if (found === undefined) return doubt('the ledger has no board of that name')
  if (unit !== null && unit !== found.unit) return doubt(`the ledger gave that name to the board ${found.unit}`)
  if (found.state === 'scrapped') return doubt('the board was scrapped')
  if (found.state !== 'delivered' || found.certificate === undefined) return 'undelivered'
  const certified = parseCertificate(found.certificate.der).extensions.tunnelKey
  if (certified === undefined || tunnelKey === undefined || !equalPublic(certified, tunnelKey))
    return doubt('its tunnel key is not the one that the ledger has')
  if (!equalPublic(offered.fleet, fleet)) return doubt('it is for another fleet')
  const span = {
    notBefore: wallTime(Math.max(0, now - lead)),
    notAfter: wallTime(Math.min(offered.notAfter, delegation.notAfter)),
  }
  const statement = { ...offered, ...span }
  const { names = '', first = 0, last = 0, tags = [] } = account.delegation?.scope ?? {}
  const own = { ...delegation, names, first, last, tags }
  const why = outsideScope(statement, delegation) ?? outsideScope(statement, own)
  return why === undefined ? statement : doubt(why)
}

/** The delegation that the broker shows, where it is for our key; whether the fleet key has signed it the ends know. */
export function delegationOf(bytes: Uint8Array, key: Uint8Array): DelegationStatement | undefined {
  const statement = readStatement(bytes)
  return statement?.kind === 'delegation' && equalPublic(statement.key, key) ? statement : undefined
}

function readDraft(draft: Uint8Array): PeerStatement | undefined {
  try {
    const statement = decodeBody(draft)
    return statement.kind === 'peer' ? statement : undefined
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}
