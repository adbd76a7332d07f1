import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { isAditError } from '#shared/errors.ts'
import type { GrantStatement, PeerStatement, Statement } from '#shared/fleet/statement.ts'
import { compareTimestamps } from '#shared/tunnel/tai64n.ts'
import { type OpenPorts, portsBetween } from './direct-access.ts'
import type { Introduction } from './introduction.ts'

/**
 * What a statement says, if it is signed by a key that counts here, in force and not withdrawn. `beside`: what is shown with it, among which the
 * delegation of its station may be. Throws AditError `statement-refused`.
 */
export type StatementJudge = (statement: Uint8Array, beside: readonly Uint8Array[]) => Statement

/** An operator whom the device believes. */
export interface Introduced {
  readonly operator: PeerStatement
  readonly device: PeerStatement
  readonly ports: readonly OpenPorts[]
}

/** Counters of operators that are remembered; the oldest is forgotten, and its replayed letter then costs one verification. */
const COUNTERS = 256

/**
 * The device's half of an introduction: it believes what the fleet key has signed, and nothing that anybody merely says. Whoever wrote
 * the letter must be the operator of a statement, the reader must be the device of one, and a grant must lie between the two.
 */
export class Reception {
  readonly #own: Uint8Array
  readonly #judge: StatementJudge
  readonly #counters = new Map<string, Uint8Array>()

  /** `own`: our tunnel key, 32 bytes. */
  constructor(own: Uint8Array, judge: StatementJudge) {
    this.#own = own
    this.#judge = judge
  }

  /**
   * Returns a DropReason for what deserves no answer (nobody's, or a replay), a sentence for a known operator who must be told why not.
   * `writer`: the tunnel key that the letter proved.
   */
  take(writer: Uint8Array, { counter, statements }: Introduction): Introduced | string | DropReason {
    const key = toHex(writer)
    const last = this.#counters.get(key)
    if (last !== undefined && compareTimestamps(counter, last) <= 0) return DropReason.Replayed
    const { peers, grants, refusals } = this.#sort(statements)
    const operator = peers.find(({ role, tunnelKey }) => role === 'operator' && isKey(tunnelKey, writer))
    if (operator === undefined) return DropReason.UnknownPeer
    this.#remember(key, counter)
    const device = peers.find(({ role, tunnelKey }) => role === 'device' && isKey(tunnelKey, this.#own))
    if (device === undefined) return refusals[0] ?? 'None of the statements is about this device and its tunnel key.'
    const ports = portsBetween(operator, device, grants)
    if (ports.length === 0) return refusals[0] ?? `No grant that was shown lets ${operator.name} reach ${device.name}.`
    return { operator, device, ports }
  }

  #sort(statements: readonly Uint8Array[]): { peers: PeerStatement[]; grants: GrantStatement[]; refusals: string[] } {
    const sorted = { peers: [] as PeerStatement[], grants: [] as GrantStatement[], refusals: [] as string[] }
    for (const bytes of statements) {
      try {
        const statement = this.#judge(bytes, statements)
        if (statement.kind === 'peer') sorted.peers.push(statement)
        if (statement.kind === 'grant') sorted.grants.push(statement)
      } catch (error) {
        if (!isAditError(error)) throw error
        sorted.refusals.push(error.message)
      }
    }
    return sorted
  }

  #remember(key: string, counter: Uint8Array): void {
    this.#counters.delete(key)
    this.#counters.set(key, counter.slice())
    if (this.#counters.size > COUNTERS) this.#counters.delete(this.#counters.keys().next().value!)
  }
}

const isKey = (key: Uint8Array | undefined, wanted: Uint8Array): boolean => key !== undefined && equalPublic(key, wanted)
