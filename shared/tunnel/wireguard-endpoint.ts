import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { DropCounters } from '#shared/drop-reason.ts'
import type { Deadline } from '#shared/machine.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Endpoint, EndpointPorts, TunnelEndpoint } from './association.ts'
import type { WireguardAssociation } from './wireguard-association.ts'

/** What the owner of a responder knows about a key that asks in. */
export interface Admission {
  /** 32 bytes; none means 32 zeros (white paper §5.2). */
  readonly psk?: Uint8Array | undefined
  /** The greatest TAI64N (12 bytes) taken from this key before, from persistence. */
  readonly lastTimestamp?: Uint8Array | undefined
}

export interface PeerOptions extends Admission {
  /** X25519, 32 bytes. Our own key is refused. */
  readonly publicKey: Uint8Array
  readonly endpoint?: Endpoint | undefined
  /** Send an authenticated empty packet after this silence of ours, while a session lives. Off unless given. */
  readonly persistentKeepalive?: Duration | undefined
  /** Start the handshake at once, and never stop trying: this end always wants the association. */
  readonly firstContact?: boolean | undefined
}

export interface WireguardEndpointOptions {
  readonly suite: Suite
  readonly staticKey: KeyPair
  readonly ports: EndpointPorts
  /** 12-byte TAI64N, strictly growing over restarts too: `TimestampFloor.next`. */
  nextTimestamp(): Uint8Array
  /** Asked when an initiation names a key that has no association. A pure question: the claimant has proven nothing yet. */
  admit?(publicKey: Uint8Array): Admission | undefined
  /** Whether handshakes must first show a cookie. Default: more than 1,500 initiations in a second (`LoadMeter`). */
  underLoad?(now: Instant): boolean
  /** Inner packets are padded to 16 bytes but never beyond this; bytes. Default 1280. */
  readonly innerMtu?: number | undefined
}

export declare class WireguardEndpoint implements TunnelEndpoint {
  constructor(options: WireguardEndpointOptions)
  readonly counters: DropCounters
  readonly opened: WireguardAssociation | undefined
  readonly publicKey: Uint8Array
  addPeer(options: PeerOptions, now: Instant): WireguardAssociation
  removePeer(association: WireguardAssociation): void
  /** By the peer's static public key in lower-case hex. */
  association(publicKeyHex: string): WireguardAssociation | undefined
  associations(): Iterable<WireguardAssociation>
  /** Sends an initiation now and begins the schedule anew. */
  initiate(association: WireguardAssociation, now: Instant): void
  /** Sends an authenticated empty packet; without a session it starts a handshake. */
  sendKeepalive(association: WireguardAssociation, now: Instant): void
  /** The owner says where the peer is (DNS, another endpoint of the list). */
  setEndpoint(association: WireguardAssociation, endpoint: Endpoint, now: Instant): void
  handleControl(datagram: Uint8Array, from: Endpoint, now: Instant): number
  open(datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number
  expire(now: Instant): void
  deadline(): Deadline | undefined
}
