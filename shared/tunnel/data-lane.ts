import type { Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, SuiteName } from './association.ts'
import type { SharedNumber } from './shared-number.ts'

/** Ciphers that a lane may be given: all with nonces of 12 bytes and tags of 16. */
export type LaneAlgorithm = 'chacha20-poly1305' | 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm'

/** What a lane must know of a session. Keys and salts are borrowed for the call, and wiped after it. */
export interface LaneSession {
  readonly association: Association
  readonly suite: SuiteName
  /** What datagrams to us carry and those to the peer: receiver indices, or SPIs; unsigned 32 bits. */
  readonly local: number
  readonly remote: number
  readonly algorithm: LaneAlgorithm
  /** Without salt: 16, 24 or 32 bytes. */
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
  /** 4 bytes, the first ones of every nonce; zeros in noise. */
  readonly sendSalt: Uint8Array
  readonly receiveSalt: Uint8Array
  /** The number of the first packet, either way. None has been sent or received yet. */
  readonly firstNumber: 0 | 1
  /** 64-bit sequence numbers of ESP (RFC 4303 §2.2.1). */
  readonly esn: boolean
  /** Inner packets of noise are padded to 16 bytes but never beyond this; those of ESP are no longer than this. Bytes. */
  readonly innerMtu: number
  /** Noise, REJECT-AFTER-TIME: neither sealed with nor opened from then on. */
  readonly expiresAt: Instant | undefined
  /** Its traffic selectors are not those of the session before it: what flows were let pass for in that one is to be asked about anew. */
  readonly otherTraffic: boolean
}

/**
 * To whom an endpoint hands the data half of its sessions: a thread that opens and seals faster than this one, and asks this one about
 * everything that it does not know. A session that the lane holds is opened there alone, which has its replay window; either side seals
 * with it, by numbers that are taken from one place (`SharedNumber`).
 */
export interface DataLane {
  /**
   * Whether datagrams that carry the number `local` come to where sessions with this peer (`Association.peerKey`) are held best. Endpoints
   * pick among such numbers, of which chance brings one in a few; a session with another one is served too, perhaps more slowly.
   */
  suits(local: number, peerKey: string): boolean
  /** Its datagrams are opened there from now on. Returns where numbers for sending come from; undefined: the lane does not take it. */
  install(session: LaneSession): SharedNumber | undefined
  /** It is neither opened nor sealed with any more, by whatever route; its keys are forgotten. */
  release(local: number, suite: SuiteName): void
  /**
   * Where, and by which installed session, the lane itself may send to `association`. Both undefined: it may not, and what it would send
   * comes up. Told only when it has changed.
   */
  route(association: Association, local: number | undefined, to: Endpoint | undefined): void
  /**
   * A datagram of an installed session that came to the endpoint: by a WebSocket, or before the session was installed. Borrowed for the
   * call. Where the lane does not know it either it is dropped there, never sent up again.
   */
  receive(datagram: Uint8Array, from: Endpoint): void
}

/** What was moved by one installed session since it was told of last. */
interface LaneNews {
  readonly local: number
  readonly suite: SuiteName
  readonly datagrams: number
  readonly outerBytes: number
  /** Datagrams without content apart. */
  readonly innerPackets: number
  readonly innerBytes: number
}

/**
 * Authentic datagrams that came from one place: told some milliseconds late, but at once where it is the first one of a session, comes from
 * another place than the one before, after a second of silence, or while the lane may not send to the association (then it may prove the
 * place where the peer is). Where there is news of both kinds, it is told in the order in which the last datagram of each came or went: so
 * an answer counts as one, and what wants an answer is seen to want it.
 */
export interface LaneHeard extends LaneNews {
  readonly from: Endpoint
  /** How many of them were the newest of their session when they came. */
  readonly newest: number
}

/** Datagrams that the lane sealed and sent. */
export interface LaneSent extends LaneNews {
  /** Bytes of the longest inner packet of them. */
  readonly largest: number
}
