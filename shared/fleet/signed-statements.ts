import type { Suite } from '#shared/crypto/suite.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { type DelegationStatement, namesKey, openStatement, type Statement, subjectOf } from './statement.ts'
import type { StatementMemory } from './statement-memory.ts'
import type { VouchedTraits } from './vouched-traits.ts'

interface SignedOptions {
  readonly suite: Pick<Suite, 'ed25519' | 'hash'>
  /** SHA-256 of the fleet's root certificate. */
  readonly fleet: Uint8Array
  /** At the time floor. */
  time(): WallTime
}

/** One statement, and its bytes as they came. */
export interface Held {
  readonly bytes: Uint8Array
  readonly statement: Statement
}

/** What the keys that count here have signed: the newest of each subject. */
export class SignedStatements {
  readonly #options: SignedOptions
  readonly #keys: readonly Uint8Array[]
  readonly #memory: StatementMemory
  readonly #traits: VouchedTraits
  readonly #held = new Map<string, Held>()

  /** Begins with none; `memory` and `traits`: what was seen before. */
  constructor(options: SignedOptions, keys: readonly Uint8Array[], memory: StatementMemory, traits: VouchedTraits) {
    this.#options = options
    this.#keys = keys
    this.#memory = memory
    this.#traits = traits
  }

  get all(): ReadonlyMap<string, Held> {
    return this.#held
  }

  /** By another key than ours: only a station's may count. */
  isForeign(bytes: Uint8Array): boolean {
    return this.#keys.length > 0 && !namesKey(bytes, this.#keys, this.#options.suite)
  }

  /** Throws AditError `statement-refused`, and is as it was then. */
  take(bytes: Uint8Array): Statement {
    const statement = this.#seen(bytes)
    // Who follows whom as the key of the fleet is for `fleet-pin.ts`: here a key says nothing.
    if (statement.kind === 'key') return statement
    const subject = subjectOf(statement)
    if (statement.kind === 'withdrawal') this.#held.delete(subject)
    else this.#held.set(subject, { bytes: Uint8Array.from(bytes), statement })
    return statement
  }

  /** What somebody shows, if it counts, and nobody has closed it; it is not held. Throws AditError `statement-refused`. */
  judge(bytes: Uint8Array): Statement {
    const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
    this.#memory.requireOpen(subjectOf(statement), statement)
    return this.#seen(bytes)
  }

  /** Those in force whom `fits` takes. */
  *those<Found extends Statement>(fits: (statement: Statement) => statement is Found): Iterable<Found> {
    for (const { statement } of this.#held.values()) if (fits(statement) && this.#isInForce(statement)) yield statement
  }

  inForce(subject: string): Held | undefined {
    const held = this.#held.get(subject)
    return held && this.#isInForce(held.statement) ? held : undefined
  }

  delegation(id: string): DelegationStatement | undefined {
    return this.inForce(`delegation:${id}`)?.statement as DelegationStatement | undefined
  }

  #seen(bytes: Uint8Array): Statement {
    const statement = openStatement(bytes, this.#keys, this.#options.time(), this.#options)
    if (statement.kind === 'key') return statement
    this.#memory.see(statement)
    if (statement.kind === 'peer') this.#traits.sign(statement)
    if (statement.kind === 'withdrawal' && statement.of === 'peer') this.#traits.withdraw(subjectOf(statement))
    return statement
  }

  #isInForce({ notBefore, notAfter }: Statement): boolean {
    const now = this.#options.time()
    return now >= notBefore && now < notAfter
  }
}
