import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import type { Office } from './office.ts'
import type { Operation } from './operation.ts'
import { brokerOperations } from './operations/broker.ts'
import { claimOperations } from './operations/claims.ts'
import { fleetOperations } from './operations/fleet.ts'
import { grantOperations } from './operations/grants.ts'
import { negotiationOperations } from './operations/negotiations.ts'
import { principalOperations } from './operations/principals.ts'

const operations = new Map<string, Operation>(
  Object.entries({
    ...brokerOperations,
    ...claimOperations,
    ...fleetOperations,
    ...grantOperations,
    ...negotiationOperations,
    ...principalOperations,
  }),
)

/** Does what `verb` names. Throws AditError. */
export async function perform(office: Office, verb: string, args: unknown): Promise<unknown> {
  const found = operations.get(verb)
  if (!found) {
    const message = `The running broker (${office.version}) does not know "${escapeText(verb)}".`
    throw new AditError('usage', message, 'Restart the broker with this release.')
  }
  return found.run(office, args)
}
