import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type AditError, isAditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { SignedStatements } from './signed-statements.ts'
import {
  type DelegationStatement,
  type GrantStatement,
  type HostKeysStatement,
  type PeerStatement,
  readStatement,
  type Statement,
  subjectOf,
  type WipeStatement,
} from './statement.ts'
import { StatementMemory } from './statement-memory.ts'
import { type StationPeer, StationPeers } from './station-peers.ts'
import type { TraitRecord } from './vouched-traits.ts'

interface LedgerOptions {
  readonly suite: Pick<Suite, 'ed25519' | 'hash'>
  /** SHA-256 of the fleet's root certificate. */
  readonly fleet: Uint8Array
  /** At the time floor. */
  time(): WallTime
}

/** What is kept of a ledger between two runs. */
export interface LedgerRecord {
  readonly statements: readonly Uint8Array[]
  /** The highest version seen of each subject, also of subjects that are not held any more. */
  readonly versions: Readonly<Record<string, number>>
  /** Versions of what was held and then left out: closed without a signature, until it is handed out again. */
  readonly closed?: Readonly<Record<string, number>>
  /** Who vouched for what, under these keys (hex) and those to which they have handed over. */
  readonly traits?: TraitRecord & { readonly keys: string }
}

/** Statements held: more than a device with a thousand operators needs. */
const heldLimit = 4_096

/**
 * What an end believes: the newest statement of each subject, under the keys that count for it, and beside them what stations say under a
 * delegation by these keys. Every statement is judged when it comes and again when it is asked for, since it, or the delegation, may end in
 * between. No version goes back, whoever plays an older one.
 */
export class StatementLedger {
  /** Statements that were not believed, since the start, and why the last was not. */
  refusals = 0
  lastRefusal: string | undefined
  readonly #options: LedgerOptions
  #keys: readonly Uint8Array[]
  readonly #memory: StatementMemory
  #stations: StationPeers
  #signed: SignedStatements

  constructor(options: LedgerOptions, keys: readonly Uint8Array[] = [], record?: LedgerRecord) {
    this.#options = options
    this.#keys = keys
    this.#stations = new StationPeers(options, record?.traits?.keys === namesOf(keys) ? record.traits : undefined)
    this.#memory = new StatementMemory(record)
    this.#signed = this.#noneSigned()
    if (record) this.#hold(record.statements)
  }

  get size(): number {
    return this.#signed.all.size + this.#stations.all.size
  }

  get record(): LedgerRecord {
    return {
      statements: [...this.#signed.all.values(), ...this.#stations.all.values()].map(({ bytes }) => bytes),
      ...this.#memory.record,
      traits: { keys: namesOf(this.#keys), ...this.#stations.traits.record },
    }
  }

  /**
   * Other keys count from now on: what is held is judged anew under them. `following`: those before have handed over to these, so that what
   * they vouched for is still theirs, and their versions go on.
   */
  setKeys(keys: readonly Uint8Array[], following = false): void {
    if (namesOf(keys) === namesOf(this.#keys)) return
    const { statements } = this.record
    this.#keys = keys
    if (!following) {
      this.#stations = new StationPeers(this.#options)
      this.#memory.forget()
    }
    this.#hold(statements)
  }

  /** Takes one statement. Throws AditError `statement-refused`, and is as it was then. */
  take(bytes: Uint8Array): void {
    const [failure] = this.takeAll([bytes])
    if (failure) throw failure
  }

  /** Takes these beside what is held, in any order. Returns why some were refused: they cost the others nothing. */
  takeAll(statements: readonly Uint8Array[]): AditError[] {
    const [signed, byStations] = this.#parted(statements)
    const refusals: AditError[] = []
    for (const bytes of signed) {
      const statement = attempt(() => this.#signed.take(bytes), refusals)
      if (statement) this.#memory.reopen(subjectOf(statement))
    }
    refusals.push(...this.#stations.take(byStations, [...this.#signed.those(isDelegation)]))
    for (const peer of this.#stations.all.values()) this.#memory.reopen(closedName(peer))
    return refusals
  }

  /**
   * What a statement says that somebody shows, if it counts here: under our keys or those of a station, in force, not older than one seen, and
   * not closed by whoever hands out our set. It is not held. `beside`: what is shown with it, among which its delegation may be. Throws
   * AditError `statement-refused`.
   */
  judge(bytes: Uint8Array, beside: readonly Uint8Array[] = []): Statement {
    return this.#signed.isForeign(bytes) ? this.#judgeStation(bytes, beside) : this.#signed.judge(bytes)
  }

  /**
   * Holds these in place of all before: what is left out is closed, which any carrier may do; what is in it must be signed. A statement
   * that is refused is counted, and costs the others nothing.
   */
  replace(statements: readonly Uint8Array[]): void {
    const before = [...this.#named()]
    this.#hold(statements)
    const now = new Map(this.#named())
    for (const [name, version] of before) if (!now.has(name)) this.#memory.close(name, version)
    for (const name of now.keys()) this.#memory.reopen(name)
  }

  #hold(statements: readonly Uint8Array[]): void {
    const [signed, byStations] = this.#parted(statements.slice(0, heldLimit))
    const refusals: AditError[] = []
    this.#signed = this.#noneSigned()
    for (const bytes of signed) attempt(() => this.#signed.take(bytes), refusals)
    this.#stations.clear()
    refusals.push(...this.#stations.take(byStations, [...this.#signed.those(isDelegation)]))
    this.refusals += refusals.length
    this.lastRefusal = refusals.at(-1)?.message ?? this.lastRefusal
  }

  peer(id: string): PeerStatement | undefined {
    return this.#find((peer) => peer.id === id)
  }

  /** Who has this inner address, in its canonical text. */
  peerAt(address: string): PeerStatement | undefined {
    return this.#find(({ addresses }) => addresses.includes(address))
  }

  peerNamed(role: PeerStatement['role'], name: string): PeerStatement | undefined {
    return this.#find((peer) => peer.role === role && peer.name === name)
  }

  /** Who has this tunnel key (X25519, 32 bytes). */
  peerWithKey(wanted: Uint8Array): PeerStatement | undefined {
    return this.#find(({ tunnelKey }) => tunnelKey !== undefined && equalPublic(tunnelKey, wanted))
  }

  /** The delegation under which a station vouches for the device; undefined where the administrator does, or nobody. */
  stationOf(device: string): DelegationStatement | undefined {
    if (this.#signed.inForce(`peer:${device}`)) return undefined
    const peer = this.#stations.all.get(`peer:${device}`)
    const delegation = peer && this.#signed.delegation(peer.station)
    return peer && this.#stations.counts(peer, delegation) ? delegation : undefined
  }

  hostKeys(device: string, service: string): HostKeysStatement | undefined {
    return this.#signed.inForce(`host-keys:${device}/${service}`)?.statement as HostKeysStatement | undefined
  }

  /** The order to forget this fleet that is for whoever has the identity key, by the SHA-256 of its SPKI; with the statement's bytes. */
  wipeOrder(identity: Uint8Array): { order: WipeStatement; bytes: Uint8Array } | undefined {
    for (const order of this.#signed.those(isWipe)) {
      const held = this.#signed.inForce(subjectOf(order))
      if (held && equalPublic(order.identity, identity)) return { order, bytes: held.bytes }
    }
    return undefined
  }

  /** The grants in force. */
  grants(): GrantStatement[] {
    return [...this.#signed.those(isGrant)]
  }

  /** The grant under which `operator` may open the TCP port of `device` now. */
  permits(operator: PeerStatement, device: PeerStatement, port: number): GrantStatement | undefined {
    if (operator.role !== 'operator' || device.role !== 'device') return undefined
    return this.grants().find(
      (grant) =>
        (grant.operators.includes(operator.name) || grant.groups.some((group) => operator.groups.includes(group))) &&
        (grant.devices.includes(device.name) || grant.tags.some((tag) => device.tags.includes(tag))) &&
        grant.ports.some(({ from, to }) => from <= port && port <= to),
    )
  }

  #judgeStation(bytes: Uint8Array, beside: readonly Uint8Array[]): Statement {
    // The administrator's words first, so that none of theirs counts less for standing behind it.
    const refusals: AditError[] = []
    const shown = beside.flatMap((other) => {
      if (this.#signed.isForeign(other)) return []
      const isOther = readStatement(other)?.kind !== 'delegation'
      const statement = attempt(() => this.#signed.judge(other), isOther ? [] : refusals)
      return statement?.kind === 'delegation' ? [statement] : []
    })
    const delegations = [...this.#signed.those(isDelegation), ...shown].sort((a, b) => b.version - a.version)
    const peer = attempt(() => this.#stations.judge(bytes, delegations), refusals)
    if (peer === undefined) throw refusals[0]
    this.#memory.requireOpen(closedName(peer), peer.statement)
    return peer.statement
  }

  /** Under the keys that count now. */
  #noneSigned(): SignedStatements {
    return new SignedStatements(this.#options, this.#keys, this.#memory, this.#stations.traits)
  }

  /** By our keys, and by others, which can only be stations'. */
  #parted(statements: readonly Uint8Array[]): [signed: Uint8Array[], byStations: Uint8Array[]] {
    const parted: [Uint8Array[], Uint8Array[]] = [[], []]
    for (const bytes of statements) parted[this.#signed.isForeign(bytes) ? 1 : 0].push(bytes)
    return parted
  }

  *#named(): Iterable<[name: string, version: number]> {
    for (const [subject, { statement }] of this.#signed.all) yield [subject, statement.version]
    for (const peer of this.#stations.all.values()) yield [closedName(peer), peer.statement.version]
  }

  #find(fits: (peer: PeerStatement) => boolean): PeerStatement | undefined {
    for (const peer of this.#signed.those(isPeer)) if (fits(peer)) return peer
    for (const peer of this.#stations.all.values())
      if (fits(peer.statement) && this.#stations.counts(peer, this.#signed.delegation(peer.station))) return peer.statement
    return undefined
  }
}

/** Whoever left a station's word out has closed that word, and none of the administrator's. */
const closedName = ({ station, statement }: StationPeer): string => `station:${station}/${subjectOf(statement)}`

const isPeer = (statement: Statement): statement is PeerStatement => statement.kind === 'peer'
const isGrant = (statement: Statement): statement is GrantStatement => statement.kind === 'grant'
const isWipe = (statement: Statement): statement is WipeStatement => statement.kind === 'wipe'
const isDelegation = (statement: Statement): statement is DelegationStatement => statement.kind === 'delegation'

/** Undefined where it is refused, which is noted. */
function attempt<Result>(work: () => Result, refusals: AditError[]): Result | undefined {
  try {
    return work()
  } catch (error) {
    if (!isAditError(error)) throw error
    refusals.push(error)
    return undefined
  }
}

const namesOf = (keys: readonly Uint8Array[]): string => keys.map(toHex).join()
