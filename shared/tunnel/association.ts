import type { DropCounters } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { LaneHeard, LaneSent } from './data-lane.ts'

export { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'

/** The protocol family of a tunnel (DESIGN D1). */
export const suiteNames = ['noise', 'esp'] as const

export type SuiteName = (typeof suiteNames)[number]

export type AssociationState = 'idle' | 'handshaking' | 'established'

/**
 * One authenticated relation between two ends in one suite; it survives rekeying, roaming and path changes. Nothing outside
 * `shared/tunnel` (and `shared/ikev2` later) asks which suite it is: the data plane knows only this contract.
 */
export interface Association {
  /** Unique in this process, never reused. */
  readonly id: number
  readonly suite: SuiteName
  /** The peer's 32-byte X25519 static key as lower-case hex (noise), or its SPKI hash (esp): what the registry knows it by. */
  readonly peerKey: string
  readonly state: AssociationState
  /** Where datagrams to the peer go; undefined until one is known. Moves only on the newest authentic packet. */
  readonly endpoint: Endpoint | undefined
  /** When the last authentic packet came, of any kind: the evidence that presence speaks of. */
  readonly lastAuthentic: Instant | undefined
  /** When the current session was agreed. */
  readonly establishedAt: Instant | undefined
  /** Bytes of outer datagrams, and of inner packets moved. */
  readonly counters: TrafficCounters

  /**
   * Data lane. Seals `inner[0..length]` into `out` and returns the datagram's length, or a negative DropReason. Without a usable
   * session it starts a handshake, keeps a bounded copy of the packet to send after it, and returns `DropReason.NoSession`.
   * `out` must have `sealOverhead` + padding (16) bytes more than `length`.
   */
  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number

  /** Forget all sessions and handshakes, wiping their keys. The association can be used again by a new handshake. */
  reset(): void
}

export interface TrafficCounters {
  outerSent: number
  outerReceived: number
  innerSent: number
  innerReceived: number
  handshakes: number
}

/** What an endpoint of a suite (WireguardEndpoint; the IKE gateway later) tells its owner. */
export type TunnelEvent =
  /** A session exists in both directions as far as we know; `rekey` when it replaced one that was still alive. */
  | { kind: 'established'; association: Association; rekey: boolean }
  /** The peer's datagrams now come from elsewhere. */
  | { kind: 'roamed'; association: Association; from: Endpoint | undefined; to: Endpoint }
  /** The last session ended without successor (reject-after-time), or was reset. */
  | { kind: 'lapsed'; association: Association }
  /** A handshake has been tried for `sinceMs` without an answer; it goes on. */
  | { kind: 'unanswered'; association: Association; sinceMs: number; attempts: number }
  /** An authentic initiation raised the greatest timestamp taken from this peer (`association.lastTimestamp`): persist it. */
  | { kind: 'timestamp'; association: Association }

/**
 * The suite-neutral face of an endpoint. The data plane calls `open` for each data datagram and the control lane for the rest.
 * Outputs are handed over by direct calls to `EndpointPorts` while the call lasts.
 */
export interface TunnelEndpoint {
  /** Handshake-class datagrams (bytes 01..03, or IKE). Returns 0 or a negative DropReason. */
  handleControl(datagram: Uint8Array, from: Endpoint, now: Instant): number
  /**
   * Data lane: authenticates and decrypts one data datagram into `out`; returns the inner packet's length (0: keepalive) and sets
   * `opened` to its association, or a negative DropReason. `datagram` and `out` belong to the caller. A datagram of a session that a data
   * lane holds goes there, and is `HeldByLane`.
   */
  open(datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number
  /** The association of the last successful `open`. */
  readonly opened: Association | undefined
  /** Runs every timer that is due. */
  expire(now: Instant): void
  deadline(): { at: Instant; why: string } | undefined
}

/** How an owner drives the endpoint of either suite: WireguardEndpoint and EspEndpoint alike. An association given must be one of its own. */
export interface PeerEndpoint<A extends Association = Association> extends TunnelEndpoint {
  readonly counters: DropCounters
  /** By what the registry knows the peer by. */
  association(peerKey: string): A | undefined
  associations(): Iterable<A>
  /**
   * The data lane has opened and taken these datagrams: all that `open` does besides. Returns whose they are; undefined where their session
   * has gone meanwhile.
   */
  heard(news: LaneHeard, now: Instant): A | undefined
  /** The data lane has sent these: all that `seal` does besides. */
  sent(news: LaneSent, now: Instant): A | undefined
  /**
   * The decrypted payload `bytes[0..length]`, padded as it came, that the data lane has opened in the session `local` and does not know where
   * to send: judged as `open` would, with the same results.
   */
  judge(local: number, bytes: Uint8Array, length: number): number
  /** Begins a handshake now, and the eager schedule anew. */
  initiate(association: A, now: Instant): void
  /** Sends one initiation, which nothing repeats. */
  call(association: A, now: Instant): void
  /** Sends an authenticated packet without content; without a session it starts a handshake. */
  sendKeepalive(association: A, now: Instant): void
  /** The owner says where the peer is. Packets that wait are tried there. */
  setEndpoint(association: A, endpoint: Endpoint, now: Instant): void
  /** Wipes its keys and forgets it; what still comes for it is a stranger's. */
  removePeer(association: A): void
}

export interface EndpointPorts {
  /** Send an outer datagram; `datagram` is only borrowed for the call. */
  transmit(datagram: Uint8Array, to: Endpoint, association: Association | undefined): void
  event(event: TunnelEvent): void
}
