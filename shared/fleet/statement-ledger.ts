import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type AditError, isAditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import {
  type DelegationStatement,
  type GrantStatement,
  type HostKeysStatement,
  namesKey,
  openStatement,
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

interface Held {
  readonly bytes: Uint8Array
  readonly statement: Statement
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
  #held = new Map<string, Held>()
  #stations: StationPeers
  readonly #memory: StatementMemory

  constructor(options: LedgerOptions, keys: readonly Uint8Array[] = [], record?: LedgerRecord) {
    this.#options = options
    this.#keys = keys
    this.#stations = new StationPeers(options, record?.traits?.keys === namesOf(keys) ? record.traits : undefined)
    this.#memory = new StatementMemory(record)
    if (record) this.#hold(record.statements)
  }

  get size(): number {
    return this.#held.size + this.#stations.all.size
  }

  get record(): LedgerRecord {
    return {
      statements: [...this.#held.values(), ...this.#stations.all.values()].map(({ bytes }) => bytes),
      ...this.#memory.record,
      traits: { keys: namesOf(this.#keys), ...this.#stations.traits.record },
    }
  }

  /**
   * Other keys count from now on: what is held is judged anew under them. `following`: those before have handed over to these, so that what
   * they vouched for is still theirs.
   */
  setKeys(keys: readonly Uint8Array[], following = false): void {
    if (namesOf(keys) === namesOf(this.#keys)) return
    const { statements } = this.record
    this.#keys = keys
    if (!following) this.#stations = new StationPeers(this.#options)
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
      const statement = this.#try(() => this.#take(bytes, this.#held), refusals)
      if (statement) this.#memory.reopen(subjectOf(statement))
    }
    refusals.push(...this.#stations.take(byStations, this.#delegations()))
    for (const peer of this.#stations.all.values()) this.#memory.reopen(closedName(peer))
    return refusals
  }

  /**
   * What a statement says that somebody shows, if it counts here: under our keys or those of a station, in force, not older than one seen, and
   * not closed by whoever hands out our set. It is not held. `beside`: what is shown with it, among which its delegation may be. Throws
   * AditError `statement-refused`.
   */
  judge(bytes: Uint8Array, beside: readonly Uint8Array[] = []): Statement {
    if (this.#isByStation(bytes)) return this.#judgeStation(bytes, beside)
    const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
    this.#memory.requireOpen(subjectOf(statement), statement)
    this.#admit({ bytes, statement }, new Map())
    return statement
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
    const held = new Map<string, Held>()
    const refusals: AditError[] = []
    for (const bytes of signed) this.#try(() => this.#take(bytes, held), refusals)
    this.#held = held
    this.#stations.clear()
    refusals.push(...this.#stations.take(byStations, this.#delegations()))
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
    if (this.#inForce(`peer:${device}`)) return undefined
    const peer = this.#stations.all.get(`peer:${device}`)
    const delegation = peer && this.#delegation(peer.station)
    return peer && this.#stations.counts(peer, delegation) ? delegation : undefined
  }

  hostKeys(device: string, service: string): HostKeysStatement | undefined {
    return this.#inForce(`host-keys:${device}/${service}`) as HostKeysStatement | undefined
  }

  /** The order to forget this fleet that is for whoever has the identity key, by the SHA-256 of its SPKI; with the statement's bytes. */
  wipeOrder(identity: Uint8Array): { order: WipeStatement; bytes: Uint8Array } | undefined {
    for (const { statement, bytes } of this.#held.values())
      if (statement.kind === 'wipe' && equalPublic(statement.identity, identity) && this.#isInForce(statement))
        return { order: statement, bytes }
    return undefined
  }

  /** The grants in force. */
  grants(): GrantStatement[] {
    return [...this.#held.values()].flatMap(({ statement }) =>
      statement.kind === 'grant' && this.#isInForce(statement) ? [statement] : [],
    )
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
    const refusals: AditError[] = []
    const shown = beside
      .filter((other) => readStatement(other)?.kind === 'delegation' && !this.#isByStation(other))
      .flatMap((other) => (this.#try(() => this.judge(other), refusals) as DelegationStatement | undefined) ?? [])
    const delegations = [...this.#delegations(), ...shown].sort((a, b) => b.version - a.version)
    const peer = this.#try(() => this.#stations.judge(bytes, delegations), refusals)
    if (peer === undefined) throw refusals[0]
    this.#memory.requireOpen(closedName(peer), peer.statement)
    return peer.statement
  }

  #take(bytes: Uint8Array, held: Map<string, Held>): Statement {
    const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
    this.#admit({ bytes: Uint8Array.from(bytes), statement }, held)
    return statement
  }

  #admit(entry: Held, held: Map<string, Held>): void {
    const { statement } = entry
    // Who follows whom as the key of the fleet is for `fleet-pin.ts`: here a key says nothing.
    if (statement.kind === 'key') return
    const subject = subjectOf(statement)
    this.#memory.see(statement)
    if (statement.kind === 'peer') this.#stations.traits.sign(statement)
    if (statement.kind === 'withdrawal') {
      held.delete(subject)
      if (statement.of === 'peer') this.#stations.traits.withdraw(subject)
    } else held.set(subject, entry)
  }

  #try<Result>(take: () => Result, refusals: AditError[]): Result | undefined {
    try {
      return take()
    } catch (error) {
      if (!isAditError(error)) throw error
      refusals.push(error)
      return undefined
    }
  }

  /** By our keys, and by others, which can only be stations'. */
  #parted(statements: readonly Uint8Array[]): [signed: Uint8Array[], byStations: Uint8Array[]] {
    const parted: [Uint8Array[], Uint8Array[]] = [[], []]
    for (const bytes of statements) parted[this.#isByStation(bytes) ? 1 : 0].push(bytes)
    return parted
  }

  #isByStation(bytes: Uint8Array): boolean {
    return this.#keys.length > 0 && !namesKey(bytes, this.#keys, this.#options.suite)
  }

  *#named(): Iterable<[name: string, version: number]> {
    for (const [subject, { statement }] of this.#held) yield [subject, statement.version]
    for (const peer of this.#stations.all.values()) yield [closedName(peer), peer.statement.version]
  }

  #delegations(): DelegationStatement[] {
    return [...this.#held.values()].flatMap(({ statement }) =>
      statement.kind === 'delegation' && this.#isInForce(statement) ? [statement] : [],
    )
  }

  #delegation(id: string): DelegationStatement | undefined {
    return this.#inForce(`delegation:${id}`) as DelegationStatement | undefined
  }

  #inForce(subject: string): Statement | undefined {
    const statement = this.#held.get(subject)?.statement
    return statement && this.#isInForce(statement) ? statement : undefined
  }

  #isInForce({ notBefore, notAfter }: Statement): boolean {
    const now = this.#options.time()
    return now >= notBefore && now < notAfter
  }

  #find(fits: (peer: PeerStatement) => boolean): PeerStatement | undefined {
    for (const { statement } of this.#held.values())
      if (statement.kind === 'peer' && fits(statement) && this.#isInForce(statement)) return statement
    for (const peer of this.#stations.all.values())
      if (fits(peer.statement) && this.#stations.counts(peer, this.#delegation(peer.station))) return peer.statement
    return undefined
  }
}

/** Whoever left a station's word out has closed that word, and none of the administrator's. */
const closedName = ({ station, statement }: StationPeer): string => `station:${station}/${subjectOf(statement)}`

const namesOf = (keys: readonly Uint8Array[]): string => keys.map(toHex).join()
