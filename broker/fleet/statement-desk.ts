import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { StoredStatement } from '#broker/registry/statements.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { followKeys } from '#shared/fleet/fleet-pin.ts'
import { openStatement, refused, type Statement, signerOf, subjectOf } from '#shared/fleet/statement.ts'
import { decodeBody, encodeBody } from '#shared/fleet/statement-body.ts'
import { type Clock, days } from '#shared/time/instant.ts'
import { delegationBehind, stationThatSigned } from './station-vouching.ts'
import { VouchedDevices } from './vouched-devices.ts'
import {
  contentKey,
  delegationDraft,
  grantDraft,
  hostKeysDraft,
  peerDraft,
  wipeDraft,
  withdrawalDraft,
} from './wanted-statements.ts'

interface DeskParts {
  registry: Pick<Registry, 'directory' | 'policy' | 'hostKeys' | 'statements' | 'orders' | 'stations' | 'stationUnits'>
  /** SHA-256 of the fleet's root certificate. */
  fleet: Uint8Array
  suite: Suite
  clock: Clock
}

/** `station-over`: the station that had vouched for it may do so no more. */
export type PendingReason = 'new' | 'changed' | 'expiring' | 'other-key' | 'station-over' | 'gone'

/** Something that waits for the administrator's signature. */
export interface PendingStatement {
  readonly subject: string
  readonly reason: PendingReason
  /** Of version 0: the signer gives it version and span. */
  readonly draft: Statement
}

export interface PendingStatements {
  readonly pending: readonly PendingStatement[]
  /** What cannot be put into a statement, and why. */
  readonly unsayable: readonly { subject: string; why: string }[]
  /** Devices that wait for the word of the station which made them: it gives it at its next sync. */
  readonly atStations: readonly { subject: string; station: string }[]
}

/** A statement that has less to live waits to be signed anew. */
const renewBefore = days(30)

/** The broker's side of the administrator's signature: what waits for it, and what has come back. */
export class StatementDesk {
  readonly #parts: DeskParts

  constructor(parts: DeskParts) {
    this.#parts = parts
  }

  /** In the order of subjects. `all`: as for a key that has signed nothing yet, but for what stations have vouched for under it. */
  async pending({ all = false }: { all?: boolean } = {}): Promise<PendingStatements> {
    const { registry, suite, clock, fleet } = this.#parts
    const now = clock.wall()
    const wanted = await this.#wanted()
    const pending: PendingStatement[] = []
    const unsayable: { subject: string; why: string }[] = []
    const atStations: { subject: string; station: string }[] = []
    const made = await VouchedDevices.load({ registry, suite, now })
    for (const [subject, draft] of wanted) {
      const why = unsayableBecause(draft)
      const entry = registry.statements.of(subject)
      const standing = draft.kind === 'peer' ? made.standing(draft, entry) : undefined
      if (standing?.vouching === 'waits') atStations.push({ subject, station: standing.station })
      if (standing?.vouching === 'vouched' || (standing && !all)) continue
      const reason = all ? 'other-key' : this.#reasonOf(draft, entry, now)
      if (why !== undefined) unsayable.push({ subject, why })
      else if (reason !== undefined) pending.push({ subject, reason, draft })
    }
    for (const entry of registry.statements.all()) {
      const subject = subjectOf(entry.statement)
      const { kind, notAfter } = entry.statement
      if (kind === 'key' || kind === 'withdrawal' || wanted.has(subject) || notAfter <= now) continue
      // The key that an order is for died with it; one that was called off is withdrawn like the rest.
      if (kind === 'wipe' && (await registry.orders.get(entry.statement.id))?.doneAt !== undefined) continue
      pending.push({ subject, reason: 'gone', draft: withdrawalDraft(fleet, subject) })
    }
    return { pending: pending.sort((a, b) => (a.subject < b.subject ? -1 : 1)), unsayable, atStations }
  }

  #reasonOf(draft: Statement, entry: StoredStatement | undefined, now: number): PendingReason | undefined {
    const { registry, suite } = this.#parts
    if (entry === undefined || stationThatSigned(registry, entry) === undefined)
      return reasonOf(draft, entry, registry.statements.pinned, now, suite)
    if (delegationBehind(registry, entry, now) === undefined) return 'station-over'
    return contentKey(entry.statement, suite) === contentKey(draft, suite) ? 'expiring' : 'changed'
  }

  /** Whether all of them would be taken, without taking any. Throws as `submit` does. */
  check(messages: readonly Uint8Array[]): { taken: number; key: Uint8Array } {
    const { taken, key } = this.#judge(messages)
    return { taken: taken.length, key }
  }

  /**
   * Takes signed statements, all or none. A key statement among them hands the fleet over, and the others may be under the new key.
   * Throws AditError `fleet-key-refused` where no key is pinned, and `statement-refused`.
   */
  async submit(messages: readonly Uint8Array[], actor: string): Promise<{ taken: number; key: Uint8Array }> {
    const { taken, key } = this.#judge(messages)
    if (taken.length > 0) await this.#parts.registry.statements.put(taken, key, actor)
    return { taken: taken.length, key }
  }

  #judge(messages: readonly Uint8Array[]): { taken: StoredStatement[]; key: Uint8Array } {
    const { registry, suite, clock, fleet } = this.#parts
    const { pinned } = registry.statements
    if (pinned === undefined) throw noKey()
    const now = clock.wall()
    const key = followKeys(pinned, messages, now, { suite, fleet })
    const keys = equalPublic(key, pinned) ? [pinned] : [key, pinned]
    const taken = messages.map((bytes): StoredStatement => {
      const signer = signerOf(bytes, keys, suite)
      const statement = openStatement(bytes, [signer], now, { suite, fleet })
      const entry = registry.statements.of(subjectOf(statement))
      // A station's versions are its own: the administrator's word comes after any of them.
      const before = entry && stationThatSigned(registry, entry) === undefined ? entry.statement : undefined
      if (before !== undefined && before.version > statement.version)
        throw refused(
          `${subjectOf(statement)} was signed before with a higher version`,
          'Check the clock of the machine that signs.',
        )
      return { signer: toHex(signer), bytes: Uint8Array.from(bytes), statement }
    })
    return { taken, key }
  }

  async #wanted(): Promise<Map<string, Statement>> {
    const { registry, fleet, clock, suite } = this.#parts
    const { directory, policy, hostKeys } = registry
    const now = clock.wall()
    const drafts: Statement[] = []
    const keysOf = await hostKeys.all()
    for (const principal of [...directory.all('device'), ...directory.all('operator')]) {
      if (!isLive(principal)) continue
      drafts.push(peerDraft(fleet, principal))
      for (const entry of keysOf.get(principal.id) ?? []) drafts.push(hostKeysDraft(fleet, principal, entry))
    }
    for (const grant of policy.grants) {
      const draft = grantDraft(fleet, grant)
      if (draft !== undefined && now < draft.notAfter) drafts.push(draft)
    }
    for (const station of registry.stations.all()) {
      const principal = station.principalId === undefined ? undefined : directory.byId(station.principalId)
      const isOver = station.revokedAt !== undefined || now >= station.notAfter
      const draft = principal && !isOver && isLive(principal) ? delegationDraft(fleet, station, principal) : undefined
      if (draft) drafts.push(draft)
    }
    for (const order of registry.orders.waiting) {
      const device = directory.byId(order.principalId)
      if (device) drafts.push(wipeDraft(fleet, order, device, suite))
    }
    return new Map(drafts.map((draft) => [subjectOf(draft), draft]))
  }
}

const isLive = ({ revokedAt }: Principal): boolean => revokedAt === undefined

function reasonOf(
  draft: Statement,
  entry: StoredStatement | undefined,
  pinned: Uint8Array | undefined,
  now: number,
  suite: Pick<Suite, 'hash'>,
): PendingReason | undefined {
  if (entry === undefined) return 'new'
  const { statement, signer } = entry
  if (pinned !== undefined && !equalPublic(fromHex(signer), pinned)) return 'other-key'
  if (statement.kind === 'withdrawal') return 'new'
  if (contentKey(statement, suite) !== contentKey(draft, suite) || statement.notAfter > draft.notAfter) return 'changed'
  // One that ends with its grant is not made longer by signing it again.
  if (statement.notAfter < now + renewBefore && statement.notAfter < draft.notAfter) return 'expiring'
  return undefined
}

/** Why no statement can say it; undefined where one can. */
function unsayableBecause(draft: Statement): string | undefined {
  try {
    decodeBody(encodeBody(draft))
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const noKey = (): AditError =>
  new AditError(
    'fleet-key-refused',
    'No fleet key is pinned at this broker, so that no signature counts.',
    'Make one with adit fleet init, and pin its public half: adit-broker fleet pin PUBLICKEY.',
  )
