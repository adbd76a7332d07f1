import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import type { Diagnosis } from '#agent/doctor/finding.ts'
import type { TunnelClient } from '#agent/operator/io/tunnel-client.ts'
import type { OperatorApi } from '#agent/operator/operator-api.ts'
import type { AditError } from '#shared/errors.ts'
import type { Clock } from '#shared/time/instant.ts'

/** What every verb is given. */
export interface OperatorContext {
  /** Absolute. */
  readonly stateFolder: string
  /** Scripts read the output: JSON on standard output, and nothing else there. */
  readonly json: boolean
  /** The way to devices that was asked for; undefined: the best. */
  readonly path: PathWish | undefined
  /** The words that start this program again: node, its own flags, the script. */
  readonly program: readonly string[]
  readonly clock: Clock
  /** Throws AditError `not-enrolled`. */
  api(): Promise<OperatorApi>
  tunnel(): TunnelClient
  /** Examines this machine; `broker`: without an identity. Throws AditError `not-enrolled`, or `usage` for a broker that is no place. */
  diagnose(broker?: string): Promise<Diagnosis>
  /** Waits, in ms. */
  pause(ms: number): Promise<void>
  /** A line for the person, on standard error. */
  note(text: string): void
  /** A failure that does not end the command. */
  complain(error: AditError): void
  /** Standard output. Resolves when there is room for more. */
  write(text: string): Promise<void>
}
