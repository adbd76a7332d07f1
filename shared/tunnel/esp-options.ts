import type { Suite } from '#shared/crypto/suite.ts'
import type { IkeContext, Initiation } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, EndpointPorts, PeerEndpoint } from './association.ts'
import type { DataLane } from './data-lane.ts'
import type { EspAssociation } from './esp-association.ts'

/** What an EspEndpoint needs of its owner. The same context serves every IKE SA; the endpoint adds what is its own to give. */
export interface EspEndpointOptions {
  readonly suite: Suite
  readonly ports: EspPorts
  /** Our identities and proof, whom we trust, what we propose, and who asks in (`owner`): all but SPIs, dice and cryptography. */
  readonly ike: Omit<IkeContext, 'suite' | 'dice' | 'newSpi' | 'newEspSpi' | 'releaseEspSpi'>
  /** A negotiation came to nothing. Strangers can cause it at will: the callee bounds what it keeps. */
  onFailure(failure: NegotiationFailure): void
  /** Whether strangers must first show a cookie (RFC 7296 §2.6). Default: many INITs in a second, or many half-open IKE SAs (`IkeDoor`). */
  underLoad?(now: Instant): boolean
  /**
   * Whether a peer at this place may hold Child SAs with us from before we started: it is told that they are gone when it uses one.
   * Strangers meet silence. Default: nobody.
   */
  mayHoldFormer?(from: Endpoint): boolean
  /** Half-open IKE SAs at most: beyond it the oldest leaves that has shown no cookie. A few kilobytes each. Default 1,000. */
  readonly halfOpenLimit?: number
  /** Longest inner packet that is sealed or opened, bytes. Default 1500. */
  readonly innerMtu?: number
  /**
   * TFC padding against traffic analysis (RFC 4303 §2.7): inner packets are zero-padded to a multiple of so many bytes, not beyond
   * `innerMtu`, with peers that can take it. Default 0: none.
   */
  readonly tfcPadding?: number
  /** Takes over the data half of Child SAs with AEAD ciphers. Default: everything is done here. */
  readonly lane?: DataLane | undefined
}

export interface EspPorts extends EndpointPorts {
  /**
   * Send an IKE message without non-ESP marker from the port 500, to a peer that spoke to `handleBare` last. Absent: such peers get no
   * answer.
   */
  transmitBare?(datagram: Uint8Array, to: Endpoint, association: Association | undefined): void
  /** The configuration that we asked the peer for (`Initiation.request`). Addresses 4 or 16 bytes. */
  configured?(association: EspAssociation, configuration: Configuration): void
  /** The peer asks us to go elsewhere (RFC 5685): a host name or a literal address. */
  redirected?(association: EspAssociation, to: string): void
}

export interface Configuration {
  readonly addresses: readonly Uint8Array[]
  readonly dns: readonly Uint8Array[]
}

/** A peer that we begin with. Peers that begin with us are made by `owner.admit`. */
export interface EspPeerOptions {
  /** What the registry knows it by: 64 hex digits. Whoever proves to be somebody else is refused. */
  readonly peerKey: string
  readonly endpoint?: Endpoint | undefined
  /** Who and what: the expected identity, the Child SA's policy, the configuration asked for. */
  readonly initiation: Omit<Initiation, 'endpoint' | 'initialContact' | 'ticket'>
  /** Send an authenticated empty packet after this silence of ours, while a session lives. Off unless given. */
  readonly persistentKeepalive?: Duration | undefined
  /** Start the handshake at once, and once begun never stop asking: this end always wants the association. */
  readonly firstContact?: boolean | undefined
}

/** The public face of EspEndpoint beyond `PeerEndpoint`, in one place: `new EspEndpoint(options: EspEndpointOptions)`. */
export interface EspEndpointFace extends PeerEndpoint<EspAssociation> {
  /** A peer that is known already keeps its sessions and takes the initiation and the endpoint, where one is given. */
  addPeer(options: EspPeerOptions, now: Instant): EspAssociation
  /** IKE messages of the port 500: no non-ESP marker before them. Returns 0 or a negative DropReason. */
  handleBare(datagram: Uint8Array, from: Endpoint, now: Instant): number
  /** Tells whoever may have associations with us from before we started that there are none. */
  announceLoss(to: Endpoint): void
  /**
   * Where the owner's judgement of peers has changed (another registry, another CA): every IKE SA goes on, and what is begun from now
   * on is judged by `ike`.
   */
  setIke(ike: EspEndpointOptions['ike']): void
}
