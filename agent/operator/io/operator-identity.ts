import type { FloorsRole } from '#agent/io/floors.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { notLoggedIn } from '#agent/operator/not-logged-in.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { Log } from '#shared/platform/log.ts'

/** What an operator's identity is made on: the same for every verb. */
export const operatorPorts = (log: Log = quiet) => ({ suite: nativeSuite, clock: systemClock, log })

/** The operator whose keys and certificate lie in a state folder, which the tunnel process alone writes to. Throws AditError `not-enrolled` where nobody has logged in. */
export async function openOperator(path: string, log?: Log, role: FloorsRole = 'reader'): Promise<Identity> {
  const identity = await Identity.load(await StateFolder.open(path), operatorPorts(log), role)
  if (identity === undefined) throw notLoggedIn(path)
  if (identity.record.role !== 'operator')
    throw new AditError(
      'not-enrolled',
      `${path} belongs to a device's agent.`,
      'Choose another folder: adit --state DIR, or ADIT_STATE.',
    )
  return identity
}

/** A verb ends with a sentence of its own; the log of the tunnel process is a file. */
const quiet: Log = { error() {}, warn() {}, info() {}, debug() {}, trace() {} }
