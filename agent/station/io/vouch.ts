import { readSigningRecord, writeSigningRecord } from '#agent/operator/io/signing-record.ts'
import { type Doubt, delegationOf, type VouchingTerms, vouchFor } from '#agent/station/core/vouching.ts'
import type { LedgerStore } from '#agent/station/io/ledger-store.ts'
import type { StationBroker, WaitingDevices } from '#agent/station/io/station-broker.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import { type PeerStatement, signStatement } from '#shared/fleet/statement.ts'
import type { Clock } from '#shared/time/instant.ts'

export interface Vouched {
  /** Devices for which the station has vouched now. */
  readonly signed: number
  readonly refused: readonly Doubt[]
}

interface VouchPorts {
  readonly suite: Suite
  readonly clock: Clock
  /** The station's folder: it has the last version given. */
  readonly folder: string
  /** Ed25519: the station's statement key. */
  readonly pair: KeyPair
  /** SHA-256 of the fleet's root certificate. */
  readonly fleet: Uint8Array
}

/**
 * Vouches for every device of ours that waits, as far as our own ledger says the same of it. Cut off anywhere the same again goes on: what
 * was not handed in waits still. Throws AditError where the broker is gone.
 */
export async function vouchForDevices(
  ledger: LedgerStore,
  broker: Pick<StationBroker, 'waiting' | 'handIn'>,
  ports: VouchPorts,
): Promise<Vouched> {
  let signed = 0
  const refused: Doubt[] = []
  let after: string | undefined
  for (;;) {
    const page = await broker.waiting(after)
    const delegation = page.delegation && delegationOf(page.delegation, ports.pair.publicKey)
    // Names grow from page to page, so that no broker keeps us asking.
    const isLast = page.last === undefined || (after !== undefined && page.last <= after)
    if (isLast || delegation === undefined) return { signed, refused }
    after = page.last
    const { statements, doubts } = await judged(ledger, page, { delegation, fleet: ports.fleet, now: ports.clock.wall() })
    refused.push(...doubts)
    if (statements.length === 0) continue
    try {
      await broker.handIn(await signAll(statements, ports))
      signed += statements.length
    } catch (error) {
      // Somebody has changed one of them meanwhile: it waits, with what is so now, at the next sync.
      if (!isAditError(error) || error.code !== 'statement-refused') throw error
      refused.push(...statements.map(({ name }) => ({ unit: null, name, why: error.message })))
    }
  }
}

async function judged(
  ledger: LedgerStore,
  { devices }: WaitingDevices,
  terms: VouchingTerms,
): Promise<{ statements: PeerStatement[]; doubts: Doubt[] }> {
  const words = await ledger.change(({ account }) => ({
    result: () => devices.map((device) => vouchFor(account, device, terms)),
  }))
  const said = words.filter((word) => word !== 'undelivered')
  return {
    statements: said.filter((word): word is PeerStatement => 'kind' in word),
    doubts: said.filter((word): word is Doubt => 'why' in word),
  }
}

/** Each with a version above the last, which is on disk before a signature leaves. */
async function signAll(statements: readonly PeerStatement[], { suite, clock, folder, pair }: VouchPorts): Promise<Uint8Array[]> {
  const { version: last, fleet } = await readSigningRecord(folder)
  const first = Math.max(Math.floor(clock.wall()), last + 1)
  await writeSigningRecord(folder, { version: first + statements.length, fleet })
  return statements.map((statement, at) => signStatement({ ...statement, version: first + at }, { suite, pair }))
}
