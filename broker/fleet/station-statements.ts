import type { Registry } from '#broker/registry/registry.ts'
import type { StoredStatement } from '#broker/registry/statements.ts'
import type { Station } from '#broker/stations/station.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { openStatement, type PeerStatement, refused, subjectOf } from '#shared/fleet/statement.ts'
import { outsideScope } from '#shared/fleet/station-scope.ts'
import type { Clock } from '#shared/time/instant.ts'
import { delegationFor, type SignedDelegation, stationThatSigned } from './station-vouching.ts'
import { VouchedDevices } from './vouched-devices.ts'
import { contentKey, peerDraft } from './wanted-statements.ts'

interface Parts {
  registry: Pick<Registry, 'directory' | 'statements' | 'stations' | 'stationUnits'>
  /** SHA-256 of the fleet's root certificate. */
  fleet: Uint8Array
  suite: Suite
  clock: Clock
}

/** A device of a station's that waits for its word. */
export interface WaitingDevice {
  /** The board's serial number; null while only the unit itself has called. */
  readonly unit: string | null
  /** Of version 0: the station gives it version and span. */
  readonly draft: PeerStatement
}

/** The broker's side of a station's signature: which of its devices wait for it, and what comes back. */
export class StationStatements {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The delegation in force, and the devices that wait under it, in the order of their names; none without a delegation. */
  async waiting(station: Station): Promise<{ delegation: StoredStatement | undefined; devices: readonly WaitingDevice[] }> {
    const { registry, suite, clock, fleet } = this.#parts
    const now = clock.wall()
    const delegation = delegationFor(registry, station, now)
    if (!delegation?.counts) return { delegation: undefined, devices: [] }
    const made = await VouchedDevices.load({ registry, suite, now }, [station])
    const devices = [...made.all()].flatMap(({ principal, unit }) => {
      const draft = peerDraft(fleet, principal)
      const isWaiting = made.standing(draft, registry.statements.of(subjectOf(draft)))?.vouching === 'waits'
      return isWaiting ? [{ unit, draft }] : []
    })
    devices.sort((a, b) => (a.draft.name < b.draft.name ? -1 : 1))
    return { delegation: delegation.entry, devices }
  }

  /**
   * Takes what a station has signed, all or none: only of devices that it has made, as they are in the registry, and of none for which the
   * administrator has vouched. Throws AditError `fleet-key-refused` without a delegation in force, and `statement-refused`.
   */
  async submit(station: Station, messages: readonly Uint8Array[]): Promise<number> {
    const { registry, suite, clock } = this.#parts
    const now = clock.wall()
    const delegation = delegationFor(registry, station, now)
    const { pinned } = registry.statements
    if (!delegation?.counts || pinned === undefined) throw noDelegation(station)
    const made = await VouchedDevices.load({ registry, suite, now }, [station])
    const drafts = new Map([...made.all()].map(({ principal }) => [principal.publicId, peerDraft(this.#parts.fleet, principal)]))
    const taken = messages.map((bytes) => this.#judge(bytes, delegation, drafts))
    if (taken.length > 0) await registry.statements.put(taken, pinned, `station:${station.station}`)
    return taken.length
  }

  #judge(
    bytes: Uint8Array,
    { statement: delegation }: SignedDelegation,
    drafts: ReadonlyMap<string, PeerStatement>,
  ): StoredStatement {
    const { registry, suite, clock, fleet } = this.#parts
    const statement = openStatement(bytes, [delegation.key], clock.wall(), { suite, fleet })
    const why = outsideScope(statement, delegation)
    if (why !== undefined || statement.kind !== 'peer') throw refused(why ?? 'it is of no device')
    const signer = toHex(delegation.key)
    const before = registry.statements.of(subjectOf(statement))
    if (before !== undefined && stationThatSigned(registry, before) === undefined)
      throw refused(`the administrator has spoken of ${statement.name} already`)
    if (before?.signer === signer && before.statement.version > statement.version)
      throw refused(`${subjectOf(statement)} was signed before with a higher version`, 'Check the clock of the station.')
    const draft = drafts.get(statement.id)
    if (draft === undefined || contentKey(draft, suite) !== contentKey(statement, suite))
      throw refused(`it is not what the registry says of ${statement.name}`, 'Ask anew what waits: adit station sync')
    return { signer, bytes: Uint8Array.from(bytes), statement }
  }
}

const noDelegation = ({ station }: Station): AditError =>
  new AditError(
    'fleet-key-refused',
    `The fleet key lets station ${station} vouch for nothing.`,
    'Have an administrator sign its delegation: adit fleet sign.',
  )
