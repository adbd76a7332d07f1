import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Association, AssociationState, Endpoint, TrafficCounters } from './association.ts'

/** One peer of a WireguardEndpoint, which makes it (`addPeer`). */
export declare class WireguardAssociation implements Association {
  readonly id: number
  readonly suite: 'noise'
  readonly peerKey: string
  readonly publicKey: Uint8Array
  readonly state: AssociationState
  readonly endpoint: Endpoint | undefined
  readonly lastAuthentic: Instant | undefined
  readonly establishedAt: Instant | undefined
  readonly counters: TrafficCounters
  /** The greatest TAI64N taken from the peer, 12 bytes: to be persisted (`timestamp` events say when it grew). */
  readonly lastTimestamp: Uint8Array | undefined
  /** Round trip of the last handshake that we began. */
  readonly roundTrip: Duration | undefined
  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number
  reset(): void
}
