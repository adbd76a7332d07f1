import { join } from 'node:path'
import { readPin } from '#agent/io/fleet-keeper.ts'
import { Identity, type IdentityPorts } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { KnownIssuers } from '#agent/station/io/known-issuers.ts'
import { StationCa } from '#agent/station/io/station-ca.ts'
import type { LineTerms } from '#agent/station/ways/line-terms.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { decodePrivateKey, encodePrivateKey } from '#shared/pki/private-key.ts'
import { readSecret, writeDurably } from '#shared/platform/files.ts'
import { shellWord } from '#shared/terminal/shell-word.ts'

/**
 * What a station has beside an agent's folder, every file 0600 (P-32):
 *
 *   delegation.key   P-256: key of its own CA
 *   delegation.pem   that CA's present certificate, then the device CA's
 *   issuers.pem      the CAs that the broker has issued by for boards of this station, once there are others
 *   enrolment.key    X25519: against it boards prove their tunnel keys here
 *   statement.key    Ed25519: by it the station vouches for its devices, where the fleet has a key and lets it
 *   ledger.db        what became of each unit
 */
export interface StationParts {
  readonly identity: Identity
  /** The station's CA and what it may issue, as its certificate has it. */
  readonly own: StationCa
  readonly issuers: KnownIssuers
  readonly enrolmentKey: KeyPair
  readonly fleetKey: Uint8Array | undefined
  /** Where all of it lies. */
  readonly folder: StateFolder
  readonly ledgerPath: string
}

/** What every board of the station learns of the fleet, whichever way it comes. */
export function termsOf({ identity: { record }, fleetKey }: StationParts): LineTerms {
  const addresses = [...new Set(Object.values(record.addresses ?? {}).flat())].slice(0, 8)
  return { api: record.api, ...(addresses.length > 0 && { addresses }), ...(fleetKey && { fleetKey }) }
}

const kinds = { 'delegation.key': 'p256', 'enrolment.key': 'x25519', 'statement.key': 'ed25519' } as const

const file = (folder: StateFolder, name: string): string => join(folder.path, name)

/** The key of the station's CA, of its boards' proofs, or of its word for its devices: made once. */
export async function stationKey(
  folder: StateFolder,
  name: keyof typeof kinds,
  { suite }: Pick<IdentityPorts, 'suite'>,
): Promise<KeyPair> {
  const kind = kinds[name]
  const found = await readSecret(file(folder, name))
  if (found !== undefined) return decodePrivateKey(kind, Buffer.from(found).toString('latin1'), suite)
  const pair = kind === 'p256' ? suite.ecdsaP256.generate() : suite[kind].generate()
  await writeDurably(file(folder, name), encodePrivateKey(kind, pair))
  return pair
}

export const saveDelegation = (folder: StateFolder, chain: string): Promise<void> =>
  writeDurably(file(folder, 'delegation.pem'), chain)

/** Undefined where the broker has not answered yet. */
async function readDelegation(folder: StateFolder): Promise<string | undefined> {
  const found = await readSecret(file(folder, 'delegation.pem'))
  return found && Buffer.from(found).toString('latin1')
}

/** Opens what `adit station init` made. Throws AditError `not-enrolled`. */
export async function openStationFolder(path: string, ports: IdentityPorts): Promise<StationParts> {
  const folder = await StateFolder.open(path)
  const identity = await Identity.load(folder, ports)
  const caChain = await readDelegation(folder)
  if (identity?.record.role !== 'station' || caChain === undefined) {
    identity?.close()
    throw notStation(folder.path)
  }
  const pair = await stationKey(folder, 'delegation.key', ports)
  return {
    identity,
    own: new StationCa(pair, caChain, (chain) => saveDelegation(folder, chain)),
    issuers: await KnownIssuers.open(file(folder, 'issuers.pem'), caChain),
    enrolmentKey: await stationKey(folder, 'enrolment.key', ports),
    fleetKey: await readPin(folder),
    folder,
    ledgerPath: file(folder, 'ledger.db'),
  }
}

const notStation = (path: string): AditError =>
  new AditError(
    'not-enrolled',
    `${path} is no station's folder yet.`,
    `Make it one: adit station init --claim TOKEN --state ${shellWord(path)}`,
  )
