import type { Principal } from '#broker/registry/principal.ts'
import { loadPrincipal } from '#broker/registry/principal-rows.ts'
import { revokePrincipal } from '#broker/registry/revoke-principal.ts'
import type { WriteTransaction } from '#broker/registry/store-context.ts'
import type { Station } from '#broker/stations/station.ts'
import type { ClaimedUnit } from '#broker/stations/station-unit.ts'

/**
 * The certificate of a lost key was never delivered: it and its device are nobody's any more. Returns that device, which the rest of the
 * broker is to be told of after the commit. `serialHex`: of the lost certificate; `now`: wall-clock ms.
 */
export async function setAside(
  transaction: WriteTransaction,
  station: Station,
  serialHex: string,
  { unit, newKey, now }: { unit: string; newKey: string; now: number },
): Promise<Principal | undefined> {
  const old = await transaction
    .updateTable('station_units')
    .set({ state: 'replaced' })
    .where('delegation_id', '=', station.id)
    .where('unit', '=', unit)
    .where('serial', '=', serialHex)
    .where('state', '=', 'issued')
    .returning(['principal_id', 'spki'])
    .executeTakeFirst()
  // Another certificate of the same key does no harm; a key that is lost goes, with all that was issued for it.
  if (old === undefined || old.principal_id === null || old.spki === newKey) return undefined
  await revokePrincipal(transaction, old.principal_id, now)
  return loadPrincipal(transaction, old.principal_id)
}

/**
 * The broker's answer was lost, and the station issued for the same key by itself: one board, one key, and the certificate that its ledger
 * has is the one that counts.
 */
export async function setTwinsAside(
  transaction: WriteTransaction,
  station: Station,
  { issuerHex, serialHex, spkiSha256Hex }: ClaimedUnit,
  unit: string,
): Promise<void> {
  await transaction
    .updateTable('station_units')
    .set({ state: 'replaced' })
    .where('delegation_id', '=', station.id)
    .where('unit', '=', unit)
    .where('spki', '=', spkiSha256Hex)
    .where((row) => row.or([row('issuer', '!=', issuerHex), row('serial', '!=', serialHex)]))
    .where('state', '=', 'issued')
    .execute()
}

/** What was issued online is in the registry before its station says so. */
export async function isRecorded(transaction: WriteTransaction, { issuerHex, serialHex }: ClaimedUnit): Promise<boolean> {
  const row = await transaction
    .selectFrom('certificates')
    .select('serial')
    .where('issuer', '=', issuerHex)
    .where('serial', '=', serialHex)
    .executeTakeFirst()
  return row !== undefined
}

/** What is kept of that certificate, if anything. */
export const rowOf = (
  transaction: Pick<WriteTransaction, 'selectFrom'>,
  { issuerHex, serialHex }: { issuerHex: string; serialHex: string },
) =>
  transaction
    .selectFrom('station_units')
    .selectAll()
    .where('issuer', '=', issuerHex)
    .where('serial', '=', serialHex)
    .executeTakeFirst()

/** What a certificate claims, and its DER. */
export interface OfUnit {
  readonly claimed: ClaimedUnit
  readonly der: Uint8Array
}

/** One row a certificate; the same one again says what is so now. `at`: wall-clock ms of the first time. */
export async function putUnit(
  transaction: WriteTransaction,
  station: Station,
  { claimed: { issuerHex: issuer, serialHex: serial, unit, name, spkiSha256Hex: spki }, der }: OfUnit,
  judged: { principal_id: number | null; state: 'issued' | 'refused' },
  at: number,
): Promise<void> {
  const set = { unit: unit ?? null, name, spki, der, delegation_id: station.id, ...judged }
  await transaction
    .insertInto('station_units')
    .values({ issuer, serial, at, reason: null, ...set })
    .onConflict((again) => again.columns(['issuer', 'serial']).doUpdateSet(set))
    .execute()
}

/** Of which board a certificate is that was here before anybody had said so. */
export async function nameUnit(transaction: WriteTransaction, { issuerHex, serialHex, unit }: ClaimedUnit): Promise<void> {
  await transaction
    .updateTable('station_units')
    .set({ unit: unit ?? null })
    .where('issuer', '=', issuerHex)
    .where('serial', '=', serialHex)
    .execute()
}
