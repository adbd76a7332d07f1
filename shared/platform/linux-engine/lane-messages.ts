/** What the main thread and a lane say to each other. Everything is copied; `Uint8Array`s belong to the receiver. */

import type { SuiteName } from '#shared/tunnel/association.ts'
import type { LaneAlgorithm, LaneHeard, LaneSent } from '#shared/tunnel/data-lane.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { AddressWords } from './address-words.ts'
import type { BoardSize } from './lane-board.ts'

/** With what a lane begins: descriptors are the main thread's, which opened them and closes them when the lane has stopped. */
export interface LaneStart {
  /** Its number, from 0. */
  readonly lane: number
  readonly board: SharedArrayBuffer
  readonly size: BoardSize
  /** UDP sockets of its own, -1: that family is missing. */
  readonly udp4: number
  readonly udp6: number
  /** A queue of the TUN, -1: none. */
  readonly tun: number
  /** Whether the TUN takes UDP super-packets. */
  readonly tunUdp: boolean
  /** Written to when a message waits. */
  readonly wake: number
  /** What the process-wide monotonic clock says when the main thread's says 0, ms. */
  readonly epoch: number
}

export interface SessionInstall {
  readonly kind: 'install'
  readonly suite: SuiteName
  readonly local: number
  readonly remote: number
  readonly association: number
  readonly algorithm: LaneAlgorithm
  /** Machine address of its key block (key-block.ts), in the main thread's memory. */
  readonly keys: number
  readonly esn: boolean
  readonly innerMtu: number
  readonly expiresAt: number | undefined
  /** The board's slot. */
  readonly slot: number
  /** Whether its datagrams are this lane's to open: one lane opens what comes, all may seal. */
  readonly opens: boolean
}

/** One direction of a flow that the main thread has let pass. */
export interface FlowPass {
  readonly version: 4 | 6
  readonly protocol: number
  readonly source: AddressWords
  readonly destination: AddressWords
  /** Source port << 16 | destination port; of an echo its identifier. */
  readonly ports: number
  /** Echo replies, not requests. */
  readonly isReply: boolean
  /** Associations by id; 0: this host, by its TUN. */
  readonly from: number
  readonly to: number
  /** Monotonic, ms; Infinity: for as long as the flow is used. */
  readonly until: number
  /** The board's slot, shared by both directions, and which one this is. */
  readonly slot: number
  readonly direction: 0 | 1
  /** The lane that opens what comes from there; undefined: any lane may meet it, as what a TUN brings. */
  readonly lane?: number | undefined
}

export type ToLane =
  | SessionInstall
  | { readonly kind: 'release'; readonly suite: SuiteName; readonly local: number; readonly keys: number }
  | {
      readonly kind: 'route'
      readonly association: number
      readonly suite: SuiteName
      readonly local: number | undefined
      readonly to: Endpoint | undefined
    }
  /** Largest inner packet that has room on the association's path, bytes. */
  | { readonly kind: 'room'; readonly association: number; readonly bytes: number }
  | { readonly kind: 'pass'; readonly flows: readonly FlowPass[] }
  | { readonly kind: 'forget'; readonly slot: number }
  /** A data datagram that came by another way than the lane's sockets. */
  | { readonly kind: 'datagram'; readonly datagram: Uint8Array; readonly from: Endpoint }
  | { readonly kind: 'sockets'; readonly udp4: number; readonly udp6: number }
  | { readonly kind: 'stop' }

export interface RawDatagram {
  readonly datagram: Uint8Array
  readonly from: Endpoint
}

/** An inner packet as it was opened in `session`, its padding with it; or, without one, out of the TUN. */
export interface UpPacket {
  readonly packet: Uint8Array
  /** `from`: where its datagram came from. */
  readonly session: { readonly suite: SuiteName; readonly local: number; readonly from: Endpoint } | undefined
}

/** Everything of one turn or more, to be taken in this order: first what sessions have done, then what came. */
export interface FromLane {
  readonly news: readonly (({ readonly kind: 'heard' } & LaneHeard) | ({ readonly kind: 'sent' } & LaneSent))[]
  readonly raw: readonly RawDatagram[]
  readonly packets: readonly UpPacket[]
  /** Sealed, for a way that is not the lane's: `from` names where it is to go. */
  readonly carried: readonly RawDatagram[]
  /** Key blocks of released sessions, which the lane reads no more. */
  readonly unread: readonly number[]
}

/** The first word of a thread: it stands, and begins. */
export const nothingYet: FromLane = { news: [], raw: [], packets: [], carried: [], unread: [] }
