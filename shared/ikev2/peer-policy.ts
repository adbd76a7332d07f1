import type { Certificate } from '#shared/pki/certificate.ts'
import type { Duration } from '#shared/time/instant.ts'
import type { IkeId, Proposal, TrafficSelector } from '#shared/wire/ike-payload/payload.ts'

/**
 * What an IKE SA asks its owner about the other end, and what it is told. The answers are synchronous and in memory; an IKE SA never
 * learns what a registry is.
 */

/** How a peer proved itself: the certificate that signed (already judged against the trust anchors), or a pre-shared key. */
export type Proof =
  | {
      readonly kind: 'certificate'
      readonly certificate: Certificate
      /** SHA-256 of its SPKI, lower-case hex. */
      readonly spkiSha256: string
    }
  | { readonly kind: 'psk' }

/** A peer whose AUTH payload has been verified: only now is anything about it looked up or said. */
export interface AuthenticatedPeer {
  /** The identity that it claims; with a certificate it must be one of the certificate's (subject or alternative name). */
  readonly id: IkeId
  /** The same as a person writes it: `CN=pump, O=adit`, `pump.example`, `192.0.2.1`. */
  readonly idText: string
  readonly proof: Proof
}

/** What an authenticated peer may have. */
export interface PeerGrant {
  /** What the registry knows the peer by, and `Association.peerKey`: the SPKI hash, or for a PSK peer a hash of its own. 64 hex digits. */
  readonly peerKey: string
  readonly name: string
  readonly child: ChildPolicy
  /** Inner addresses that a configuration request is given: 4 or 16 bytes each. */
  readonly virtualAddresses: readonly Uint8Array[]
  /** Name servers for the configuration payload, 4 or 16 bytes each. */
  readonly dns: readonly Uint8Array[]
}

/** What a Child SA with a peer may look like; everything else is narrowed or refused. */
export interface ChildPolicy {
  /** Acceptable ESP proposals in order of preference. Made by `parseProposal`. */
  readonly proposals: readonly Proposal[]
  /** What lies behind us for this peer. */
  readonly localSelectors: readonly TrafficSelector[]
  /** What lies behind the peer: its inner addresses and its subnets. */
  readonly remoteSelectors: readonly TrafficSelector[]
  readonly lifetime: Lifetime
}

/** When a security association is renewed (soft) and when it ends whatever happens (hard). Jitter is taken off the soft ones. */
export interface Lifetime {
  readonly softTime: Duration
  readonly hardTime: Duration
  /** Of outer packets and bytes, either direction. */
  readonly softBytes: number
  readonly hardBytes: number
  readonly softPackets: number
  readonly hardPackets: number
}

/** A refusal by the owner: recorded in full, told to the peer as AUTHENTICATION_FAILED and no more. */
export interface Refusal {
  readonly refused: string
  /** One line for the person at this end, one for the person at the other. */
  readonly mendHere: string
  readonly mendThere: string
}

/** The owner of an IKE SA, as the IKE SA sees it. Nothing here may throw on a stranger's input. */
export interface IkeOwner {
  /**
   * Judges the chain that a peer sent (DER, leaf first, helpers after it) against the trust anchors, at the time floor. Throws PkiError.
   * Called once the IKE SA's keys exist and before AUTH is verified; the leaf's key then verifies AUTH.
   */
  judge(chain: readonly Uint8Array[]): Certificate
  /** The pre-shared key of the peer that claims `id`; undefined: this peer must use a certificate, or is unknown. At least 16 bytes. */
  preSharedKey(id: IkeId): Uint8Array | undefined
  /** The postquantum pre-shared key of that identity (RFC 8784), and whether there is no way without it. */
  ppk(id: IkeId, peer: IkeId | undefined): { readonly key: Uint8Array; readonly mandatory: boolean } | undefined
  /**
   * After AUTH has been verified: whether and how the peer is let in. `chosen`: what its IKE SA stands on, one transform a type. A peer that
   * resumes a session comes here without `judge`: whether its certificate has been revoked since is to be asked here.
   */
  admit(peer: AuthenticatedPeer, chosen: Proposal): PeerGrant | Refusal
}
