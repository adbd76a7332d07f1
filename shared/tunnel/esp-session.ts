import type { Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { ChildSaKeys, EspAlgorithms } from '#shared/ikev2/ike-output.ts'
import type { Lifetime } from '#shared/ikev2/peer-policy.ts'
import type { Dice } from '#shared/time/backoff.ts'
import type { Instant } from '#shared/time/instant.ts'
import {
  ESP_HEADER_LENGTH,
  ESP_TRAILER_LENGTH,
  espSequenceOf,
  padLengthFor,
  putEspHeader,
  writeTrailer,
} from '#shared/wire/esp.ts'
import { ESP_REPLAY_WINDOW, EXTENDED_NUMBERS, SEQUENCE_NUMBERS, SOFT_JITTER } from './esp-constants.ts'
import { type EspTransform, espTransform } from './esp-transform.ts'
import { sequenceHighOf } from './extended-sequence.ts'
import { PacketNumber } from './packet-number.ts'
import { ReplayWindow } from './replay-window.ts'
import { SelectorGate } from './selector-gate.ts'
import type { SharedNumber } from './shared-number.ts'

/**
 * One Child SA pair: keys, sequence numbers, replay window and what it has carried. Sequence numbers are nonces; they only grow, in
 * memory alone, and end before they wrap. Lifetimes in time are the IKE SA's to keep, those in packets and bytes are kept here.
 */
export class EspSession<Owner = unknown> {
  readonly owner: Owner
  readonly inboundSpi: number
  readonly outboundSpi: number
  readonly createdAt: Instant
  readonly algorithms: EspAlgorithms
  readonly esn: boolean
  /** The peer takes no TFC padding. */
  readonly tfcRefused: boolean
  /** Which inner packets it may carry. */
  readonly gate: SelectorGate
  /** Outer packets and bytes of both directions: exact to 2^53. */
  packets = 0
  bytes = 0
  /** When its renewal was asked for last. */
  askedAt: Instant | undefined
  readonly #send: EspTransform
  readonly #receive: EspTransform
  readonly #window: ReplayWindow
  readonly #lifetime: Lifetime
  readonly #softPackets: number
  readonly #softBytes: number
  readonly #number: PacketNumber
  #newest = false
  #isLaned = false

  /** The keys remain the caller's, to wipe. Throws RangeError where the algorithms are none of ours. */
  constructor(suite: Suite, owner: Owner, keys: ChildSaKeys, lifetime: Lifetime, dice: Dice, now: Instant) {
    this.owner = owner
    this.inboundSpi = keys.inbound.spi
    this.outboundSpi = keys.outbound.spi
    this.createdAt = now
    this.algorithms = keys.algorithms
    this.esn = keys.esn
    this.tfcRefused = keys.tfcRefused
    this.gate = new SelectorGate(keys.localSelectors, keys.remoteSelectors)
    this.#send = espTransform(suite, keys.algorithms, keys.outbound, keys.esn)
    this.#receive = espTransform(suite, keys.algorithms, keys.inbound, keys.esn)
    this.#window = keys.esn ? new ReplayWindow(ESP_REPLAY_WINDOW) : new ReplayWindow(ESP_REPLAY_WINDOW, 1, 0)
    this.#number = new PacketNumber(keys.esn ? EXTENDED_NUMBERS : SEQUENCE_NUMBERS)
    this.#lifetime = lifetime
    this.#softPackets = lifetime.softPackets * (1 - dice() * SOFT_JITTER)
    this.#softBytes = lifetime.softBytes * (1 - dice() * SOFT_JITTER)
  }

  /** A data lane holds it: its datagrams are opened there alone, and its numbers shared. */
  get isLaned(): boolean {
    return this.#isLaned
  }

  /** A data lane has taken it, before the first packet; numbers come from `numbers` now. */
  lend(numbers: SharedNumber): void {
    this.#number.share(numbers)
    this.#isLaned = true
  }

  /** Whether the packet that `open` took last was the newest so far. */
  get newest(): boolean {
    return this.#newest
  }

  /** Its hard limit is reached: it may neither send nor receive any more. */
  get isSpent(): boolean {
    return this.packets >= this.#lifetime.hardPackets || this.bytes >= this.#lifetime.hardBytes
  }

  get canSend(): boolean {
    return !this.isSpent && !this.#number.isExhausted
  }

  get isDueForRekey(): boolean {
    return this.packets >= this.#softPackets || this.bytes >= this.#softBytes || this.#number.isDueForRekey
  }

  /** The length of the datagram for a payload of so many bytes. */
  sealedLength(payload: number): number {
    const { ivLength, blockLength, icvLength } = this.#send
    return ESP_HEADER_LENGTH + ivLength + payload + padLengthFor(payload, blockLength) + ESP_TRAILER_LENGTH + icvLength
  }

  /**
   * Seals `inner[0..length]`, zero-padded to `padded` bytes (TFC), as one datagram at `out[0..]`, which has `sealedLength(padded)` bytes
   * or more; returns its length or a negative DropReason. `nextHeader`: EspNextHeader.
   */
  seal(inner: Uint8Array, length: number, padded: number, nextHeader: number, out: Uint8Array): number {
    const number = this.#number
    if (this.isSpent || !number.take()) return DropReason.SessionExpired
    const { high, low } = number
    const { ivLength, blockLength } = this.#send
    const at = ESP_HEADER_LENGTH + ivLength
    putEspHeader(out, this.outboundSpi, low)
    this.#send.putIv(out, high)
    out.set(length === inner.length ? inner : inner.subarray(0, length), at)
    if (padded > length) out.fill(0, at + length, at + padded)
    const end = writeTrailer(out, at + padded, padLengthFor(padded, blockLength), nextHeader)
    const size = this.#send.protect(out, end, high)
    this.carried(1, size)
    return size
  }

  /**
   * Opens one datagram into `out`, which is as long or longer; returns the length of payload and trailer, or a negative DropReason.
   * Takes each number once. What stands in the trailer is authentic then, but not yet judged (`checkTrailer`).
   */
  open(datagram: Uint8Array, out: Uint8Array): number {
    if (this.#isLaned) return DropReason.HeldByLane
    if (this.isSpent) return DropReason.SessionExpired
    const low = espSequenceOf(datagram)
    const window = this.#window
    const high = this.esn ? sequenceHighOf(low, window.highestHigh, window.highestLow, ESP_REPLAY_WINDOW) : 0
    if (high < 0 || (high === 0 && low === 0) || !window.isFresh(high, low)) return DropReason.Replayed
    const length = this.#receive.open(datagram, high, out)
    if (length < 0) return length
    this.#newest = window.mark(high, low)
    this.carried(1, datagram.length)
    return length
  }

  /** Continues after another number: for tests near the limits, and never backwards. */
  skipTo(high: number, low: number): void {
    this.#number.skipTo(high, low)
  }

  /** Counts outer packets and their bytes, of either direction: those of `seal` and `open` are counted already. */
  carried(packets: number, bytes: number): void {
    this.packets += packets
    this.bytes += bytes
  }

  wipe(): void {
    this.#send.wipe()
    this.#receive.wipe()
  }
}
