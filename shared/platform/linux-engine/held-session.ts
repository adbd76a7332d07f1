/**
 * One session as the lane holds it: its ciphers, its window, what it has moved since the main thread was last told.
 *
 *   noise  04 00 00 00 | receiver index | counter, 64 bits, little-endian | packet, zeros to 16 bytes | tag      (white paper §5.4.6)
 *   esp    SPI | sequence number | counter, 64 bits | packet, 1 2 3 …, pad length, next header | tag           (RFC 4303, 4106, 7634)
 *
 * In both the sealed part begins 16 bytes into the datagram.
 */
import { equalPublic } from '#shared/bytes/equal.ts'
import { TAG_LENGTH } from '#shared/crypto/openssl-ffi/evp.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import type { LaneAlgorithm } from '#shared/tunnel/data-lane.ts'
import { ESP_REPLAY_WINDOW } from '#shared/tunnel/esp-constants.ts'
import { nextHeaderOf, payloadOf } from '#shared/tunnel/esp-inner.ts'
import { sequenceHighOf } from '#shared/tunnel/extended-sequence.ts'
import { paddedLength } from '#shared/tunnel/padding.ts'
import { ReplayWindow } from '#shared/tunnel/replay-window.ts'
import { SharedNumber } from '#shared/tunnel/shared-number.ts'
import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { ESP_TRAILER_LENGTH, padLengthFor, writeTrailer } from '#shared/wire/esp.ts'
import { DATA_HEADER_LENGTH, DATA_TYPE } from '#shared/wire/wireguard-data.ts'
import type { DatagramSource } from './datagram-source.ts'
import { KEY_BLOCK } from './key-block.ts'
import type { LaneBoard } from './lane-board.ts'
import type { CipherUser, LaneCiphers, SessionCiphers } from './lane-ciphers.ts'
import type { SessionInstall } from './lane-messages.ts'
import type { LanePeer } from './lane-peers.ts'
import type { NativeMemory } from './memory.ts'

/** Bytes before the sealed part. */
export const SEALED_AT = DATA_HEADER_LENGTH

/** What is sealed of a packet in ESP is a multiple of this (RFC 4303 §2.4). Bytes. */
const ESP_ALIGN = 4

/** What the lane's memory keeps for a session: nonces of both directions, whose first 4 bytes stay, and one AAD. */
const SCRATCH = { sendNonce: 0, receiveNonce: 16, aad: 32, length: 48 } as const

/** Counted since the main thread was last told. */
export class Moved {
  datagrams = 0
  outerBytes = 0
  innerPackets = 0
  innerBytes = 0
  /** The longest inner packet of them. */
  largest = 0

  add(outer: number, inner: number): void {
    this.datagrams++
    this.outerBytes += outer
    if (inner === 0) return
    this.innerPackets++
    this.innerBytes += inner
    if (inner > this.largest) this.largest = inner
  }

  clear(): void {
    this.datagrams = this.outerBytes = this.innerPackets = this.innerBytes = this.largest = 0
  }
}

export class HeldSession implements CipherUser {
  readonly suite: SuiteName
  readonly isEsp: boolean
  readonly local: number
  readonly remote: number
  readonly algorithm: LaneAlgorithm
  readonly keys: number
  readonly peer: LanePeer
  readonly expiresAt: number
  /** Whether its datagrams are this lane's to open; otherwise it only seals with it. */
  readonly opens: boolean
  readonly heard = new Moved()
  readonly sent = new Moved()
  /** Whether the packet that `open` took last was the newest so far; how many were since the main thread was told. */
  newest = false
  heardNewest = 0
  /** Whether it has been heard since it spoke last. */
  heardLast = false
  /** Whether the main thread has ever been told of a packet of it, and when it was told last. */
  known = false
  lastHeard = Number.NEGATIVE_INFINITY
  lastSent = Number.NEGATIVE_INFINITY
  /** Where its newest datagram came from. */
  from: Uint8Array = new Uint8Array(0)
  carriedFrom: Endpoint | undefined = undefined
  /** Whether it is among those of which the main thread is to be told. */
  stirred = false
  readonly scratchAt: number
  readonly #memory: NativeMemory
  readonly #board: LaneBoard
  readonly #slot: number
  readonly #numbers: SharedNumber
  readonly #innerMtu: number
  readonly #esn: boolean
  readonly #lender: LaneCiphers
  #ciphers: SessionCiphers | undefined = undefined
  #wiped = false
  readonly #window: ReplayWindow
  /** Numbers up to this one came before this lane: they are not taken again. */
  readonly #floorHigh: number
  readonly #floorLow: number

  /** `scratchAt`: SESSION_SCRATCH bytes of `memory`. */
  constructor(
    install: SessionInstall,
    peer: LanePeer,
    board: LaneBoard,
    memory: NativeMemory,
    lender: LaneCiphers,
    scratchAt: number,
  ) {
    this.suite = install.suite
    this.isEsp = install.suite === 'esp'
    this.local = install.local
    this.remote = install.remote
    this.algorithm = install.algorithm
    this.keys = install.keys
    this.peer = peer
    this.expiresAt = install.expiresAt ?? Number.POSITIVE_INFINITY
    this.opens = install.opens
    this.scratchAt = scratchAt
    this.#memory = memory
    this.#board = board
    this.#slot = install.slot
    this.#numbers = new SharedNumber(board.words, board.counterAt(install.slot))
    this.#innerMtu = install.innerMtu
    this.#esn = install.esn
    const { bytes } = memory
    bytes.fill(0, scratchAt, scratchAt + SCRATCH.length)
    this.#lender = lender
    lender.withKeys(install.keys, (at) => {
      bytes.copyWithin(scratchAt + SCRATCH.sendNonce, at + KEY_BLOCK.sendSalt, at + KEY_BLOCK.sendSalt + 4)
      bytes.copyWithin(scratchAt + SCRATCH.receiveNonce, at + KEY_BLOCK.receiveSalt, at + KEY_BLOCK.receiveSalt + 4)
    })
    this.#window = this.isEsp
      ? install.esn
        ? new ReplayWindow(ESP_REPLAY_WINDOW)
        : new ReplayWindow(ESP_REPLAY_WINDOW, 1, 0)
      : new ReplayWindow()
    const { high, low } = board.highest(install.slot)
    this.#floorHigh = high
    this.#floorLow = low
    if (high >= 0 && this.opens) this.#window.mark(high, low)
  }

  /** The length of the datagram for an inner packet of so many bytes. */
  sealedLength(length: number): number {
    return SEALED_AT + this.#paddedLength(length) + TAG_LENGTH
  }

  /**
   * Seals the inner packet at `at` as a datagram at `out`; it may stand at `out + SEALED_AT` already, and its padding is written behind
   * it. Returns the datagram's length, or SessionExpired.
   */
  seal(at: number, length: number, out: number): number {
    const number = this.#numbers.take()
    if (number < 0) return DropReason.SessionExpired
    const padded = this.#paddedLength(length)
    return this.isEsp ? this.#sealEsp(at, length, padded, out, number) : this.#sealNoise(at, length, padded, out, number)
  }

  /** Opens a datagram in place: returns the length of the inner packet at `at + SEALED_AT`, 0 for none, or a negative DropReason. */
  open(at: number, length: number, now: number): number {
    if (now >= this.expiresAt) return DropReason.SessionExpired
    if (length < SEALED_AT + TAG_LENGTH) return DropReason.Malformed
    return this.isEsp ? this.#openEsp(at, length) : this.#openNoise(at, length)
  }

  /** Whether that is another place than where its newest datagram came from before. */
  isElsewhere(source: DatagramSource): boolean {
    const { address } = source
    // What the endpoint is in words is only asked where there is no address: it would be made anew for each datagram.
    return !(address.length > 0 ? equalPublic(address, this.from) : sameEndpoint(this.carriedFrom, source.endpoint))
  }

  move(source: DatagramSource): void {
    const { address } = source
    this.from = address.slice()
    this.carriedFrom = address.length > 0 ? undefined : copyEndpoint(source.endpoint)
  }

  dropCiphers(): void {
    this.#ciphers?.seal.wipe()
    this.#ciphers?.open.wipe()
    this.#ciphers = undefined
  }

  /** It ends; its key block may be another's from now on. */
  wipe(): void {
    this.#wiped = true
    if (this.#ciphers === undefined) return
    this.#lender.leave(this)
    this.dropCiphers()
  }

  #borrow(): SessionCiphers {
    if (this.#wiped) throw new Error('this session has ended')
    this.#ciphers = this.#lender.lend(this)
    return this.#ciphers
  }

  #paddedLength(length: number): number {
    if (this.isEsp) return length + padLengthFor(length, ESP_ALIGN) + ESP_TRAILER_LENGTH
    return paddedLength(length, this.#innerMtu)
  }

  #sealNoise(at: number, length: number, padded: number, out: number, number: number): number {
    const { view, bytes } = this.#memory
    const { seal } = this.#ciphers ?? this.#borrow()
    const nonceAt = this.scratchAt + SCRATCH.sendNonce
    if (padded > length) bytes.fill(0, at + length, at + padded)
    view.setUint32(out, DATA_TYPE, true)
    view.setUint32(out + 4, this.remote, true)
    view.setUint32(out + 8, number, true)
    view.setUint32(out + 12, 0, true)
    view.setUint32(nonceAt + 4, number, true)
    view.setUint32(nonceAt + 8, 0, true)
    return SEALED_AT + seal.seal(nonceAt, 0, 0, at, padded, out + SEALED_AT)
  }

  #sealEsp(at: number, length: number, padded: number, out: number, number: number): number {
    const { view, bytes } = this.#memory
    const { seal } = this.#ciphers ?? this.#borrow()
    const nonceAt = this.scratchAt + SCRATCH.sendNonce
    writeTrailer(bytes, at + length, padded - length - ESP_TRAILER_LENGTH, nextHeaderOf(bytes, at))
    view.setUint32(out, this.remote)
    view.setUint32(out + 4, number)
    view.setUint32(out + 8, 0)
    view.setUint32(out + 12, number)
    view.setUint32(nonceAt + 4, 0)
    view.setUint32(nonceAt + 8, number)
    return SEALED_AT + seal.seal(nonceAt, this.#aad(out, 0), this.#esn ? 12 : 8, at, padded, out + SEALED_AT)
  }

  #openNoise(at: number, length: number): number {
    const { view } = this.#memory
    const low = view.getUint32(at + 8, true)
    const high = view.getUint32(at + 12, true)
    if (!this.#isFresh(high, low)) return DropReason.Replayed
    const { open } = this.#ciphers ?? this.#borrow()
    const nonceAt = this.scratchAt + SCRATCH.receiveNonce
    view.setUint32(nonceAt + 4, low, true)
    view.setUint32(nonceAt + 8, high, true)
    const opened = open.open(nonceAt, 0, 0, at + SEALED_AT, length - SEALED_AT, at + SEALED_AT)
    if (opened < 0) return DropReason.Unauthentic
    this.#took(high, low)
    return opened
  }

  #openEsp(at: number, length: number): number {
    const { view } = this.#memory
    const low = view.getUint32(at + 4)
    const window = this.#window
    const high = this.#esn ? sequenceHighOf(low, window.highestHigh, window.highestLow, ESP_REPLAY_WINDOW) : 0
    if (high < 0 || (high === 0 && low === 0) || !this.#isFresh(high, low)) return DropReason.Replayed
    const { open } = this.#ciphers ?? this.#borrow()
    const nonceAt = this.scratchAt + SCRATCH.receiveNonce
    view.setUint32(nonceAt + 4, view.getUint32(at + 8))
    view.setUint32(nonceAt + 8, view.getUint32(at + 12))
    const plain = at + SEALED_AT
    const opened = open.open(nonceAt, this.#aad(at, high), this.#esn ? 12 : 8, plain, length - SEALED_AT, plain)
    if (opened < 0) return DropReason.Unauthentic
    this.#took(high, low)
    return payloadOf(this.#memory.bytes, opened, plain)
  }

  /** SPI and sequence number, with ESN the high word between them (RFC 4106 §5). */
  #aad(at: number, high: number): number {
    if (!this.#esn) return at
    const { view } = this.#memory
    const aadAt = this.scratchAt + SCRATCH.aad
    view.setUint32(aadAt, view.getUint32(at))
    view.setUint32(aadAt + 4, high)
    view.setUint32(aadAt + 8, view.getUint32(at + 4))
    return aadAt
  }

  #isFresh(high: number, low: number): boolean {
    if (high < this.#floorHigh || (high === this.#floorHigh && low <= this.#floorLow)) return false
    return this.#window.isFresh(high, low)
  }

  #took(high: number, low: number): void {
    this.newest = this.#window.mark(high, low)
    if (this.newest) this.#board.setHighest(this.#slot, high, low)
  }
}

export const SESSION_SCRATCH = SCRATCH.length
