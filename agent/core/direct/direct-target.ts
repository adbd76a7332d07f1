import { equalPublic } from '#shared/bytes/equal.ts'
import { isNameWithin } from '#shared/enrolment/delegation.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import type { PeerStatement } from '#shared/fleet/statement.ts'
import { type OpenPorts, portsBetween } from './direct-access.ts'
import { STATEMENTS_LIMIT } from './introduction.ts'
import type { StatementJudge } from './reception.ts'

/** A device that an operator may meet, and the proofs of it. */
export interface DirectTarget {
  readonly device: PeerStatement & { readonly tunnelKey: Uint8Array }
  readonly ports: readonly OpenPorts[]
  /** What is shown to the device, in this order. */
  readonly statements: readonly Uint8Array[]
}

/**
 * The device `name` out of the statements that the broker handed us, believed only as far as they are signed: a broker that names
 * another tunnel key for it, or opens more ports, has no statement for that. `own`: our tunnel key. Throws AditError
 * `statement-refused`.
 */
export function directTarget(
  name: string,
  statements: readonly Uint8Array[],
  { own, judge }: { own: Uint8Array; judge: StatementJudge },
): DirectTarget {
  const judged = statements.map((bytes) => ({ bytes, statement: tryJudge(bytes, statements, judge) }))
  const failures = judged.flatMap(({ statement }) => (statement instanceof AditError ? [statement] : []))
  const peers = judged.flatMap(({ statement, bytes }) =>
    !(statement instanceof AditError) && statement.kind === 'peer' ? [{ statement, bytes }] : [],
  )
  const grants = judged.flatMap(({ statement, bytes }) =>
    !(statement instanceof AditError) && statement.kind === 'grant' ? [{ statement, bytes }] : [],
  )
  const us = peers.find(({ statement: { role, tunnelKey } }) => role === 'operator' && tunnelKey && equalPublic(tunnelKey, own))
  const device = peers.find(({ statement }) => statement.role === 'device' && statement.name === name)
  const tunnelKey = device?.statement.tunnelKey
  if (us === undefined || device === undefined || tunnelKey === undefined)
    throw failures[0] ?? missing(`none of them is of ${us === undefined ? 'this operator' : name} and its tunnel key`)
  // A device that has not been told yet of the station that made it believes by what it is shown.
  const delegations = judged.filter(
    ({ statement }) => !(statement instanceof AditError) && statement.kind === 'delegation' && isNameWithin(statement, name),
  )
  const useful = grants.filter(({ statement }) => portsBetween(us.statement, device.statement, [statement]).length > 0)
  const shown = useful.slice(0, STATEMENTS_LIMIT - 2 - Math.min(1, delegations.length))
  const ports = portsBetween(
    us.statement,
    device.statement,
    shown.map(({ statement }) => statement),
  )
  if (ports.length === 0) throw failures[0] ?? missing(`no grant among them is for ${name}`)
  return {
    device: { ...device.statement, tunnelKey },
    ports,
    statements: [
      us.bytes,
      device.bytes,
      ...delegations.slice(0, 1).map(({ bytes }) => bytes),
      ...shown.map(({ bytes }) => bytes),
    ],
  }
}

/** Whether the same was shown, in the same order. */
export const sameStatements = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((one, i) => equalPublic(one, b[i]!))

function tryJudge(bytes: Uint8Array, beside: readonly Uint8Array[], judge: StatementJudge) {
  try {
    return judge(bytes, beside)
  } catch (error) {
    if (isAditError(error)) return error
    throw error
  }
}

const missing = (why: string): AditError =>
  new AditError(
    'statement-refused',
    `The broker's statements do not suffice: ${why}.`,
    'Have the administrator sign anew: adit fleet sign.',
  )
