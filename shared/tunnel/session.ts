import type { Aead, Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { after, type Instant } from '#shared/time/instant.ts'
import { counterHighOf, counterLowOf, DATA_HEADER_LENGTH, putDataHeader } from '#shared/wire/wireguard-data.ts'
import { PacketNumber } from './packet-number.ts'
import { ReplayWindow } from './replay-window.ts'
import type { SharedNumber } from './shared-number.ts'
import { COUNTERS, REJECT_AFTER_TIME, SEAL_OVERHEAD } from './wireguard-constants.ts'

/** One nonce under way at a time: 4 zero bytes and the 64-bit counter, little-endian (§5.4.6). */
const nonce = new Uint8Array(12)

export interface SessionStart {
  /** Our index and the peer's. */
  readonly local: number
  readonly remote: number
  readonly initiator: boolean
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
  readonly now: Instant
  /** When our initiation of it was sent, or the peer's came. */
  readonly begunAt: Instant
  /** When an initiator renews it on sending; the endpoint has jittered it. */
  readonly rekeyAt: Instant
}

/** One set of keys. It lives REJECT-AFTER-TIME at most; its counter only grows, in memory alone. */
export class Session<Owner = unknown> {
  readonly owner: Owner
  readonly local: number
  readonly remote: number
  readonly initiator: boolean
  readonly createdAt: Instant
  readonly begunAt: Instant
  rekeyAt: Instant
  /** A responder may send only after the initiator has shown that it holds the keys (§5.4.6, footnote on key confirmation). */
  confirmed: boolean
  readonly #send: Aead
  #receive: Aead | undefined
  #window: ReplayWindow | undefined = new ReplayWindow()
  readonly #number = new PacketNumber(COUNTERS)
  #newest = false

  /** `sendKey` and `receiveKey` remain the caller's, to wipe. */
  constructor(suite: Suite, owner: Owner, start: SessionStart) {
    this.owner = owner
    this.local = start.local
    this.remote = start.remote
    this.initiator = start.initiator
    this.confirmed = start.initiator
    this.createdAt = start.now
    this.begunAt = start.begunAt
    this.rekeyAt = start.rekeyAt
    this.#send = suite.chacha20poly1305.key(start.sendKey)
    this.#receive = suite.chacha20poly1305.key(start.receiveKey)
  }

  /** A data lane holds it: its datagrams are opened there alone, and its counters shared. */
  get isLaned(): boolean {
    return this.#window === undefined
  }

  /** A data lane has taken it, before the first packet; counters come from `numbers` now, and what only `open` needs is that one's. */
  lend(numbers: SharedNumber): void {
    this.#number.share(numbers)
    this.#receive?.wipe()
    this.#receive = undefined
    this.#window = undefined
  }

  /** Whether the packet that `open` took last was the newest so far. */
  get newest(): boolean {
    return this.#newest
  }

  get expiresAt(): Instant {
    return after(this.createdAt, REJECT_AFTER_TIME)
  }

  isExpired(now: Instant): boolean {
    // The same sum as the deadline's: of fractional instants a difference may round the other way, and never be due.
    return now >= after(this.createdAt, REJECT_AFTER_TIME)
  }

  canSend(now: Instant): boolean {
    return this.confirmed && !this.isExpired(now) && !this.#number.isExhausted
  }

  /** Whether an initiator should renew it before sending on. */
  isDueForRekey(now: Instant): boolean {
    return (this.initiator && now >= this.rekeyAt) || this.#number.isDueForRekey
  }

  /**
   * Seals `inner[0..length]`, zero-padded to `padded` bytes, as one datagram at `out[0..]`; returns its length. The caller has asked
   * `canSend`.
   */
  seal(inner: Uint8Array, length: number, padded: number, out: Uint8Array): number {
    const number = this.#number
    if (!number.take()) return DropReason.SessionExpired
    const { high, low } = number
    putDataHeader(out, this.remote, high, low)
    const body = out.subarray(DATA_HEADER_LENGTH)
    body.set(length === inner.length ? inner : inner.subarray(0, length))
    body.fill(0, length, padded)
    putNonce(high, low)
    return DATA_HEADER_LENGTH + this.#send.seal(nonce, undefined, body.subarray(0, padded), body)
  }

  /** Opens one datagram into `out`; returns the plaintext's length (padding included) or a DropReason. Takes each counter once. */
  open(datagram: Uint8Array, out: Uint8Array, now: Instant): number {
    const aead = this.#receive
    const window = this.#window
    if (aead === undefined || window === undefined) return DropReason.HeldByLane
    if (this.isExpired(now)) return DropReason.SessionExpired
    if (datagram.length < SEAL_OVERHEAD || out.length < datagram.length - SEAL_OVERHEAD) return DropReason.Malformed
    const high = counterHighOf(datagram)
    const low = counterLowOf(datagram)
    if (!window.isFresh(high, low)) return DropReason.Replayed
    putNonce(high, low)
    const length = aead.open(nonce, undefined, datagram.subarray(DATA_HEADER_LENGTH), out)
    if (length < 0) return DropReason.Unauthentic
    this.#newest = window.mark(high, low)
    return length
  }

  /** Continues from another counter: for tests near the limits, and never backwards. */
  skipTo(counterHigh: number, counterLow: number): void {
    if (counterLow > 0) this.#number.skipTo(counterHigh, counterLow - 1)
    else this.#number.skipTo(counterHigh - 1, 0xffff_ffff)
  }

  wipe(): void {
    this.#send.wipe()
    this.#receive?.wipe()
  }
}

function putNonce(high: number, low: number): void {
  nonce[4] = low
  nonce[5] = low >>> 8
  nonce[6] = low >>> 16
  nonce[7] = low >>> 24
  nonce[8] = high
  nonce[9] = high >>> 8
  nonce[10] = high >>> 16
  nonce[11] = high >>> 24
}
