import { enrol } from '#agent/io/enrol.ts'
import { readPin } from '#agent/io/fleet-keeper.ts'
import { Identity, type IdentityPorts } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { LedgerStore } from '#agent/station/io/ledger-store.ts'
import { noteDelegation } from '#agent/station/io/renew-delegation.ts'
import { StationBroker } from '#agent/station/io/station-broker.ts'
import { openStationFolder, type StationParts, saveDelegation, stationKey } from '#agent/station/io/station-folder.ts'
import { keepStanding } from '#agent/station/io/station-standing.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { createRequest } from '#shared/pki/request.ts'

export interface InitOptions extends IdentityPorts {
  readonly path: string
  /** As it was typed. */
  readonly token: string
  onProgress?(step: string): void
}

/**
 * Makes a folder a station's: its own identity by EST, its CA under that, and the first entries of its ledger. Interrupted anywhere, the
 * same again goes on from there, with the same keys. Throws AditError `already-enrolled`, or what the broker says.
 */
export async function initStation({ path, token, onProgress = () => {}, ...ports }: InitOptions): Promise<StationParts> {
  const folder = await StateFolder.open(path)
  const before = await Identity.load(folder, ports)
  if (before && before.record.role !== 'station') {
    before.close()
    throw otherRole(folder.path)
  }
  const identity = before ?? (await enrol({ ...ports, folder, token, role: 'station', onProgress }))
  try {
    const ca = await stationKey(folder, 'delegation.key', ports)
    await stationKey(folder, 'enrolment.key', ports)
    onProgress('asking for the CA of this station')
    const broker = new StationBroker(() => identity.https(), identity.record.api)
    const { chain } = await broker.delegation(createRequest({ name: identity.record.name, identity: ca }, ports.suite))
    await keepStanding(identity, false)
    if ((await readPin(folder)) !== undefined) await tellKey(folder, broker, ports)
    await saveDelegation(folder, chain)
  } finally {
    identity.close()
  }
  const parts = await openStationFolder(path, ports)
  await beginLedger(parts, ports)
  return parts
}

/** Where the claim has told of a fleet key. A broker that does not take it now is told at the first sync at which it asks. */
async function tellKey(folder: StateFolder, broker: StationBroker, ports: IdentityPorts): Promise<void> {
  const { publicKey } = await stationKey(folder, 'statement.key', ports)
  try {
    await broker.tellKey(publicKey)
  } catch (error) {
    ports.log.info({ code: toAditError(error).code }, 'the broker does not take the key by which this station would vouch')
  }
}

/** The ledger says who keeps it, and under which delegation, before anything else; once. */
async function beginLedger({ identity, own, ledgerPath }: StationParts, { suite, clock }: IdentityPorts): Promise<void> {
  const ledger = await LedgerStore.open(ledgerPath, { suite, clock, identity: identity.keys.identity })
  try {
    const { station } = own.delegation
    const certificate = own.ca.certificate.der
    await ledger.change(({ account, now }) => ({
      entries:
        account.station === ''
          ? [
              { kind: 'begun', at: now, station },
              { kind: 'delegated', at: now, certificate },
            ]
          : [],
      result: () => undefined,
    }))
    // A folder that was made before, and asked again.
    await noteDelegation(own, ledger)
  } finally {
    await ledger.close()
  }
}

const otherRole = (path: string): AditError =>
  new AditError(
    'already-enrolled',
    `${path} is the folder of another agent.`,
    'Give the station a folder of its own: --state DIR',
  )
