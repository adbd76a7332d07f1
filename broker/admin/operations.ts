import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import type { Office } from './office.ts'
import type { Operation } from './operation.ts'
import { backupOperations } from './operations/backup.ts'
import { brokerOperations } from './operations/broker.ts'
import { caOperations } from './operations/ca.ts'
import { claimOperations } from './operations/claims.ts'
import { cloneOperations } from './operations/clones.ts'
import { enrolmentOperations } from './operations/enrolments.ts'
import { factoryOperations } from './operations/factory.ts'
import { fleetOperations } from './operations/fleet.ts'
import { grantOperations } from './operations/grants.ts'
import { laneOperations } from './operations/lane.ts'
import { lifecycleOperations } from './operations/lifecycle.ts'
import { negotiationOperations } from './operations/negotiations.ts'
import { principalOperations } from './operations/principals.ts'
import { stationOperations } from './operations/stations.ts'

const operations = new Map<string, Operation>(
  Object.entries({
    ...backupOperations,
    ...brokerOperations,
    ...caOperations,
    ...claimOperations,
    ...factoryOperations,
    ...enrolmentOperations,
    ...cloneOperations,
    ...fleetOperations,
    ...grantOperations,
    ...lifecycleOperations,
    ...laneOperations,
    ...negotiationOperations,
    ...principalOperations,
    ...stationOperations,
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
