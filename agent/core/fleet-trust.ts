import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { followKeys } from '#shared/fleet/fleet-pin.ts'
import { isKeyStatement, type Statement } from '#shared/fleet/statement.ts'
import { type LedgerRecord, StatementLedger } from '#shared/fleet/statement-ledger.ts'
import type { WallTime } from '#shared/time/instant.ts'

export interface FleetTrustOptions {
  readonly suite: Pick<Suite, 'ed25519' | 'hash'>
  /** SHA-256 of the root certificate that the claim pinned: what statements call our fleet. */
  readonly fleet: Uint8Array
  /** Public half of our own tunnel key: by it we find what is said of ourselves. */
  readonly tunnelKey: Uint8Array
  /** At the time floor (DESIGN D5). */
  time(): WallTime
}

/** What is remembered between two runs. */
export interface FleetRecord {
  /** The administrator's public key (Ed25519), where one was pinned. */
  readonly pinned?: Uint8Array
  /** Without it: what the broker's configuration named, under which the statements are held. */
  readonly brokerKeys?: readonly Uint8Array[]
  /** Name of the set of statements that is held, hex; empty: none. */
  readonly digest: string
  readonly ledger: LedgerRecord
}

/**
 * Whom this end believes about others (DESIGN D6). With a pinned key: nobody but its holder, whatever the broker says, and the pin moves
 * by the old key's signature alone. Without one: the keys that the broker names, so that everything is read in the same way; then the
 * broker is trusted as it always was, and what it lets through is let in.
 */
export class FleetTrust {
  readonly ledger: StatementLedger
  /** Connections that no statement allowed, since the start, and from where to where the last one was. */
  refusedConnections = 0
  lastRefusedConnection: string | undefined
  readonly #options: FleetTrustOptions
  #pinned: Uint8Array | undefined
  #brokerKeys: readonly Uint8Array[]
  #digest: string

  constructor(options: FleetTrustOptions, record?: FleetRecord) {
    this.#options = options
    this.#pinned = record?.pinned
    this.#brokerKeys = record?.brokerKeys ?? []
    this.#digest = record?.digest ?? ''
    this.ledger = new StatementLedger(options, this.keys, record?.ledger)
  }

  get pinned(): Uint8Array | undefined {
    return this.#pinned
  }

  /** Whose statements count. */
  get keys(): readonly Uint8Array[] {
    return this.#pinned === undefined ? this.#brokerKeys : [this.#pinned]
  }

  /** Name of the set that is held, hex. */
  get digest(): string {
    return this.#digest
  }

  get record(): FleetRecord {
    return { ...(this.#pinned && { pinned: this.#pinned }), digest: this.#digest, ledger: this.ledger.record }
  }

  /** The owner of this machine says whose fleet it is. What was held under another key is held no more. */
  pin(key: Uint8Array): void {
    this.#adopt(key, false)
  }

  /** What the broker's configuration names; without effect where a key is pinned. */
  setBrokerKeys(keys: readonly Uint8Array[]): void {
    this.#brokerKeys = keys
    if (this.#pinned === undefined) this.ledger.setKeys(keys)
  }

  /** A whole set: what is not in it is closed. Follows the pinned key where it has handed over. */
  take(digest: Uint8Array, statements: readonly Uint8Array[]): void {
    this.#follow(statements)
    this.ledger.replace(statements.filter(isNoKey))
    this.#digest = toHex(digest)
  }

  /** Statements about something just asked for, beside what is held. Takes all that count, then throws AditError `statement-refused` for the first that does not. */
  learn(statements: readonly Uint8Array[]): void {
    this.#follow(statements)
    const [failure] = this.ledger.takeAll(statements.filter(isNoKey))
    if (failure) throw failure
  }

  /**
   * What a statement says that somebody shows, if it counts here. `beside`: what is shown with it, among which the delegation of its station
   * may be. Throws AditError `statement-refused`.
   */
  judge(statement: Uint8Array, beside?: readonly Uint8Array[]): Statement {
    return this.ledger.judge(statement, beside)
  }

  /** Whether a grant lets whoever is at this inner address open the TCP port here. */
  permits(address: string, port: number): boolean {
    const operator = this.ledger.peerAt(address)
    const own = this.ledger.peerWithKey(this.#options.tunnelKey)
    return operator !== undefined && own !== undefined && this.ledger.permits(operator, own, port) !== undefined
  }

  /** Whether a connection is let in: under a pinned key it must be permitted here too. */
  allows(address: string, port: number): boolean {
    return this.#pinned === undefined || this.permits(address, port)
  }

  /** A connection was not let in. */
  refused(address: string, port: number): void {
    this.refusedConnections++
    this.lastRefusedConnection = `${address} to port ${port}`
  }

  #follow(statements: readonly Uint8Array[]): void {
    if (this.#pinned === undefined) return
    const key = followKeys(this.#pinned, statements, this.#options.time(), this.#options)
    this.#adopt(key, true)
  }

  /** `following`: by the word of the key before. */
  #adopt(key: Uint8Array, following: boolean): void {
    if (this.#pinned !== undefined && equalPublic(this.#pinned, key)) return
    this.#pinned = key
    this.#digest = ''
    this.ledger.setKeys([key], following)
  }
}

/** Links of the chain of keys are done with once they have been followed: most are signed by a key that is over. */
const isNoKey = (statement: Uint8Array): boolean => !isKeyStatement(statement)
