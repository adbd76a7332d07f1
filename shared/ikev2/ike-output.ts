import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { Proposal, TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import type { AuthenticatedPeer, PeerGrant } from './peer-policy.ts'

/** One direction of a Child SA. */
export interface EspKeys {
  /** The SPI that its datagrams carry: the receiver's choice. */
  readonly spi: number
  /** Encryption key with its salt (RFC 4106 §8.1: 4 bytes last), as KEYMAT yields it. */
  readonly encryption: Uint8Array
  /** Empty with a combined-mode cipher. */
  readonly integrity: Uint8Array
}

/** A Child SA pair as the data path needs it. Keys are fresh memory that the taker wipes. */
export interface ChildSaKeys {
  readonly inbound: EspKeys
  readonly outbound: EspKeys
  readonly algorithms: EspAlgorithms
  /** 64-bit sequence numbers. */
  readonly esn: boolean
  readonly localSelectors: readonly TrafficSelector[]
  readonly remoteSelectors: readonly TrafficSelector[]
  /** The peer cannot take TFC padding (ESP_TFC_PADDING_NOT_SUPPORTED). */
  readonly tfcRefused: boolean
}

/** The transforms of an ESP proposal, by their numbers; `integrity` 0 with a combined-mode cipher. */
export interface EspAlgorithms {
  readonly encryption: number
  readonly keyLength: number | undefined
  readonly integrity: number
}

/** What an IKE SA tells its owner; taken by `poll` until undefined. */
export type IkeOutput =
  /**
   * A whole IKE message, or one fragment of it, without the non-ESP marker. Requests go along the owner's present path; an answer goes to
   * where its request came from (`to`).
   */
  | { readonly kind: 'send'; readonly datagram: Uint8Array; readonly to?: Endpoint }
  /**
   * Both ends are authenticated. On a rekey of the IKE SA it is not said again. `initialContact`: the peer has begun anew, whatever
   * other association it had with us is void.
   */
  | {
      readonly kind: 'authenticated'
      readonly peer: AuthenticatedPeer
      readonly grant: PeerGrant
      readonly initialContact: boolean
      /** It took a ticket in place of public-key work. */
      readonly resumed: boolean
    }
  /** A Child SA is to be installed, inbound at once. `replaces`: the inbound SPI of the one that it follows. */
  | { readonly kind: 'child-up'; readonly keys: ChildSaKeys; readonly replaces: number | undefined }
  /** From now on this Child SA (by inbound SPI) sends; said at once except where the peer must install its end first. */
  | { readonly kind: 'child-use'; readonly inboundSpi: number }
  /** It is to be forgotten; what is still under way for it is received a few seconds longer. */
  | { readonly kind: 'child-down'; readonly inboundSpi: number; readonly why: 'rekeyed' | 'deleted' | 'expired' }
  /** `IkeSa.localSpis` changed by a rekey: the owner indexes it anew. */
  | { readonly kind: 'rekeyed' }
  /** A request has been repeated without an answer; it goes on. Silence of the peer is `sinceMs` long. */
  | { readonly kind: 'unanswered'; readonly sinceMs: number; readonly attempts: number }
  /** The configuration that we asked for was given (initiator). Addresses 4 or 16 bytes. */
  | { readonly kind: 'configured'; readonly addresses: readonly Uint8Array[]; readonly dns: readonly Uint8Array[] }
  /** The peer's path is now `to`, proven by MOBIKE. */
  | { readonly kind: 'moved'; readonly to: Endpoint }
  /** The association has ended. `gone`: the peer said so; `local`: we did; `replaced`: the peer began anew (INITIAL_CONTACT); `dead`: silence. */
  | { readonly kind: 'closed'; readonly why: 'gone' | 'local' | 'replaced' | 'dead' | 'refused' }
  /** The peer is to be reached elsewhere (RFC 5685). Host name or literal address. */
  | { readonly kind: 'redirected'; readonly to: string }
  /** A session ticket was issued to us (RFC 5723). */
  | { readonly kind: 'ticket'; readonly ticket: ResumptionTicket }
  | { readonly kind: 'failed'; readonly failure: NegotiationFailure }

/** What an initiator keeps, in memory only, to resume its association after the peer has lost it (RFC 5723). */
export interface ResumptionTicket {
  /** Opaque to us. */
  readonly opaque: Uint8Array
  readonly lifetimeSeconds: number
  /** SK_d of the association that earned it: secret. */
  readonly skD: Uint8Array
  /** The algorithms of that association: one transform a type. */
  readonly algorithms: Proposal
  readonly peer: AuthenticatedPeer
}
