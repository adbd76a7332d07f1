import type { Suite } from '#shared/crypto/suite.ts'
import type { Dice } from '#shared/time/backoff.ts'
import { type Duration, hours, minutes, seconds, type WallTime } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { IkeId, Proposal } from '#shared/wire/ike-payload/payload.ts'
import type { Credential } from './authentication.ts'
import type { ConfigurationWish } from './configuration.ts'
import type { ResumptionTicket } from './ike-output.ts'
import type { OwnWords } from './own-words.ts'
import type { ChildPolicy, IkeOwner } from './peer-policy.ts'

/** What every IKE SA of one end shares. Borrowed by all of them; the owner keeps it for as long as one lives. */
export interface IkeContext {
  readonly suite: Suite
  readonly dice: Dice
  readonly owner: IkeOwner
  /** Our identities, the usual one first. A peer that asks for another one of them (IDr) is shown that one. With a certificate it must be in it. */
  readonly localIds: readonly [IkeId, ...IkeId[]]
  /** How we prove ourselves to a peer that does not use a pre-shared key. */
  readonly credential: Credential
  /** SHA-1 of the SubjectPublicKeyInfo of each CA that we trust for peers, 20 bytes each: what we ask certificates of (CERTREQ). */
  readonly authorities: readonly Uint8Array[]
  /** For the IKE SA, in order of preference. Made by `parseProposal`. */
  readonly proposals: readonly Proposal[]
  /** 32 bytes that seal session tickets (RFC 5723), the one in use first; older ones are still opened. None: no tickets are issued. */
  readonly ticketKeys: readonly Uint8Array[]
  readonly settings: IkeSettings
  /** How our settings are called, for the records of failures. The broker's words where nothing is said. */
  readonly words?: OwnWords
  /** For the expiry of tickets alone. */
  wall(): WallTime
  /** A fresh SPI of an IKE SA: random, not 0, not in use at this end. */
  newSpi(): bigint
  /**
   * A fresh SPI of an inbound Child SA: top bit set (DESIGN D2), not in use; reserved until the Child SA comes `child-up` or is released.
   * `peerKey` (`PeerGrant`): with whom; undefined: the peer has not proven it yet.
   */
  newEspSpi(peerKey: string | undefined): number
  /** The negotiation for which that SPI was reserved came to nothing. */
  releaseEspSpi(spi: number): void
}

export interface IkeSettings {
  /** When an IKE SA is rekeyed (up to a tenth earlier, by chance), and when it ends though it was not. */
  readonly ikeSoftTime: Duration
  readonly ikeHardTime: Duration
  /** First retransmission while no round trip is known; each next wait is 1.8 times the last, give or take a tenth, at most `retryCap`. */
  readonly retryBase: Duration
  readonly retryCap: Duration
  /** How long an unanswered request is repeated before the association counts as dead. Undefined: for ever. */
  readonly patience: Duration | undefined
  /** After so much silence, of data too, the peer is asked whether it lives. Undefined: only when `probe` is called. */
  readonly livenessTime: Duration | undefined
  /** How long a peer may take from its first message to a proof of who it is. */
  readonly halfOpenTime: Duration
  /** A peer may rekey one of its security associations in so long, two that fall due together; sooner it is told TEMPORARY_FAILURE. */
  readonly rekeySpacing: Duration
  /** Child SAs of one IKE SA at most, those that are being replaced not counted. */
  readonly maxChildren: number
  /** The longest IKE message that is sent whole, without UDP header and marker, bytes; longer ones go as fragments (RFC 7383). */
  readonly maxDatagram: number
  /** How long a ticket is good for. */
  readonly ticketTime: Duration
}

/** Messages cross a path of 1280 bytes: IPv6 header 40, UDP 8, marker 4. */
const MAX_DATAGRAM = 1280 - 40 - 8 - 4

/** A broker's: it closes what stays silent. An agent's differs by `patience: undefined`. */
export const defaultIkeSettings: IkeSettings = {
  ikeSoftTime: hours(4),
  ikeHardTime: hours(5),
  retryBase: seconds(0.5),
  retryCap: seconds(60),
  patience: seconds(165),
  livenessTime: undefined,
  halfOpenTime: seconds(30),
  rekeySpacing: seconds(10),
  maxChildren: 8,
  maxDatagram: MAX_DATAGRAM,
  ticketTime: minutes(24 * 60),
}

/** What the initiator of an association knows beforehand. */
export interface Initiation {
  /** Where the peer is; for the record of a failure only: the owner's path decides where datagrams go. */
  readonly endpoint: Endpoint | undefined
  /** Who the peer must prove to be. Undefined: anyone whom the owner admits. */
  readonly expectedId: IkeId | undefined
  /** Our identity and proof where they differ from the context's. */
  readonly localId?: IkeId
  readonly credential?: Credential
  /** The first Child SA; it is made again whenever it is lost. Undefined: childless (RFC 6023), if the peer agrees. */
  readonly child: ChildPolicy | undefined
  readonly request?: ConfigurationWish
  /** This is the first association with the peer since we started: it may forget older ones. */
  readonly initialContact: boolean
  /** From an earlier association with this peer: spares both ends the public-key work if the peer still takes it. */
  readonly ticket?: ResumptionTicket
  /** The gateway that sent us to this one (RFC 5685): it will not be sent on. */
  readonly redirectedFrom?: string
  /** Postquantum pre-shared key (RFC 8784) and the name by which the peer knows it. */
  readonly ppk?: { readonly id: Uint8Array; readonly key: Uint8Array; readonly mandatory: boolean }
}
