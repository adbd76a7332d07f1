import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import {
  type GrantStatement,
  type HostKeysStatement,
  openStatement,
  type PeerStatement,
  refused,
  type Statement,
  subjectOf,
  type WipeStatement,
} from './statement.ts'

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
}

interface Held {
  readonly bytes: Uint8Array
  readonly statement: Statement
}

/** Subjects whose versions are remembered. All were signed, so nobody but the administrator can push others out. */
const versionLimit = 8_192
/** Statements held: more than a device with a thousand operators needs. */
const heldLimit = 4_096

/**
 * What an end believes: the newest statement of each subject, under the keys that count for it. Every statement is judged when it comes
 * and again when it is asked for, since it may expire in between. No version goes back, whoever plays an older one.
 */
export class StatementLedger {
  /** Statements that were not believed, since the start, and why the last was not. */
  refusals = 0
  lastRefusal: string | undefined
  readonly #options: LedgerOptions
  #keys: readonly Uint8Array[]
  #held = new Map<string, Held>()
  readonly #versions = new Map<string, number>()
  readonly #closed = new Map<string, number>()

  constructor(options: LedgerOptions, keys: readonly Uint8Array[] = [], record?: LedgerRecord) {
    this.#options = options
    this.#keys = keys
    for (const [subject, version] of Object.entries(record?.versions ?? {})) this.#versions.set(subject, version)
    if (record) this.#hold(record.statements)
    for (const [subject, version] of Object.entries(record?.closed ?? {})) this.#closed.set(subject, version)
  }

  get size(): number {
    return this.#held.size
  }

  get record(): LedgerRecord {
    return {
      statements: [...this.#held.values()].map(({ bytes }) => bytes),
      versions: Object.fromEntries(this.#versions),
      closed: Object.fromEntries(this.#closed),
    }
  }

  /** Other keys count from now on: what is held is judged anew under them. */
  setKeys(keys: readonly Uint8Array[]): void {
    if (keys.length === this.#keys.length && keys.every((key, i) => equalPublic(key, this.#keys[i]!))) return
    this.#keys = keys
    this.#hold(this.record.statements)
  }

  /** Takes one statement. Throws AditError `statement-refused`, and is as it was then. */
  take(bytes: Uint8Array): Statement {
    const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
    this.#admit({ bytes: Uint8Array.from(bytes), statement }, this.#held)
    this.#closed.delete(subjectOf(statement))
    return statement
  }

  /**
   * What a statement says that somebody shows, if it counts here: under our keys, in force, not older than one seen, and not closed by
   * whoever hands out our set. It is not held. Throws AditError `statement-refused`.
   */
  judge(bytes: Uint8Array): Statement {
    const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
    const subject = subjectOf(statement)
    if ((this.#closed.get(subject) ?? -1) >= statement.version) throw refused(`${subject} has been closed`)
    this.#admit({ bytes, statement }, new Map())
    return statement
  }

  /**
   * Holds these in place of all before: what is left out is closed, which any carrier may do; what is in it must be signed. A statement
   * that is refused is counted, and costs the others nothing.
   */
  replace(statements: readonly Uint8Array[]): void {
    const before = this.#held
    this.#hold(statements)
    for (const [subject, { statement }] of before) if (!this.#held.has(subject)) bounded(this.#closed, subject, statement.version)
    for (const subject of this.#held.keys()) this.#closed.delete(subject)
  }

  #hold(statements: readonly Uint8Array[]): void {
    const held = new Map<string, Held>()
    for (const bytes of statements.slice(0, heldLimit)) {
      try {
        const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
        this.#admit({ bytes: Uint8Array.from(bytes), statement }, held)
      } catch (error) {
        if (!isAditError(error)) throw error
        this.refusals++
        this.lastRefusal = error.message
      }
    }
    this.#held = held
  }

  peer(id: string): PeerStatement | undefined {
    return this.#inForce(`peer:${id}`) as PeerStatement | undefined
  }

  /** Who has this inner address, in its canonical text. */
  peerAt(address: string): PeerStatement | undefined {
    return this.#find((statement) => statement.kind === 'peer' && statement.addresses.includes(address)) as
      | PeerStatement
      | undefined
  }

  peerNamed(role: PeerStatement['role'], name: string): PeerStatement | undefined {
    return this.#find((statement) => statement.kind === 'peer' && statement.role === role && statement.name === name) as
      | PeerStatement
      | undefined
  }

  /** Who has this tunnel key (X25519, 32 bytes). */
  peerWithKey(tunnelKey: Uint8Array): PeerStatement | undefined {
    return this.#find(
      (statement) =>
        statement.kind === 'peer' && statement.tunnelKey !== undefined && equalPublic(statement.tunnelKey, tunnelKey),
    ) as PeerStatement | undefined
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

  #admit(entry: Held, held: Map<string, Held>): void {
    const { statement } = entry
    // Who follows whom as the key of the fleet is for `fleet-pin.ts`: here a key says nothing.
    if (statement.kind === 'key') return
    const subject = subjectOf(statement)
    const seen = this.#versions.get(subject) ?? 0
    if (statement.version < seen)
      throw refused(`it is older than one of ${subject} that was seen before (${statement.version} after ${seen})`)
    bounded(this.#versions, subject, statement.version)
    if (statement.kind === 'withdrawal') held.delete(subject)
    else held.set(subject, entry)
  }

  #inForce(subject: string): Statement | undefined {
    const statement = this.#held.get(subject)?.statement
    return statement && this.#isInForce(statement) ? statement : undefined
  }

  #isInForce({ notBefore, notAfter }: Statement): boolean {
    const now = this.#options.time()
    return now >= notBefore && now < notAfter
  }

  #find(fits: (statement: Statement) => boolean): Statement | undefined {
    for (const { statement } of this.#held.values()) if (fits(statement) && this.#isInForce(statement)) return statement
    return undefined
  }
}

/** The newest `versionLimit` entries. */
function bounded(map: Map<string, number>, subject: string, version: number): void {
  map.delete(subject)
  map.set(subject, version)
  if (map.size > versionLimit) map.delete(map.keys().next().value as string)
}
