/**
 * What the main thread and the lanes see at the same time, without a message: sending counters, which both take numbers from; the highest
 * numbers received, by which a lane that was started anew goes on; what flows have carried and said; drops.
 *
 * One SharedArrayBuffer. A slot belongs to one session or flow at a time; the main thread gives slots out. Each lane counts drops and traffic for
 * itself; the high number of a session is written by the lane that opens it, a direction of a flow by the lane on whose side it begins (what comes
 * out of the TUN may pass from one to another, and then a count of both at once may be lost).
 */
import type { DropReason } from '#shared/drop-reason.ts'

/** Words of a session's slot: the next number for sending, and the highest received (two words, the high one -1 before the first). */
const SESSION_WORDS = 3
/** Numbers of a flow's slot. */
const FLOW_NUMBERS = 9
const DROPS = 64
const TRAFFIC = 8
const COUNTERS = DROPS + TRAFFIC

/** What a flow's slot holds, each for the initiator's direction at the offset and for the responder's one behind it. */
export const FlowNumber = { lastSeen: 0, bytes: 1, acknowledgement: 3, end: 5, said: 7 } as const

/** Datagrams and inner packets that the lane has moved; `raised`: those received that were none of its sessions', and went up. */
export const Traffic = { received: 0, sent: 1, relayed: 2, delivered: 3, raised: 4 } as const

export interface BoardSize {
  readonly sessions: number
  readonly flows: number
  /** Default 1. */
  readonly lanes?: number
}

export class LaneBoard {
  readonly buffer: SharedArrayBuffer
  readonly size: BoardSize
  /** 32-bit words of sessions: `session * SESSION_WORDS`. */
  readonly words: Int32Array
  readonly flows: Float64Array
  /** By -DropReason; those of one lane. */
  readonly drops: Float64Array
  /** By `Traffic`; that of one lane. */
  readonly traffic: Float64Array
  /** All lanes' drops and traffic, one after the other. */
  readonly #counters: Float64Array

  /** On the memory of another one, in the other thread, or on a new one. `lane`: whose counters `count` and its like are. */
  constructor(size: BoardSize, buffer?: SharedArrayBuffer, lane = 0) {
    const { lanes = 1 } = size
    const flowBytes = size.flows * FLOW_NUMBERS * 8
    const counterBytes = lanes * COUNTERS * 8
    this.size = size
    this.buffer = buffer ?? new SharedArrayBuffer(counterBytes + flowBytes + size.sessions * SESSION_WORDS * 4)
    this.#counters = new Float64Array(this.buffer, 0, lanes * COUNTERS)
    this.drops = this.#counters.subarray(lane * COUNTERS, lane * COUNTERS + DROPS)
    this.traffic = this.#counters.subarray(lane * COUNTERS + DROPS, (lane + 1) * COUNTERS)
    this.flows = new Float64Array(this.buffer, counterBytes, size.flows * FLOW_NUMBERS)
    this.words = new Int32Array(this.buffer, counterBytes + flowBytes)
  }

  /** Where a session's sending counter stands in `words`. */
  counterAt(session: number): number {
    return session * SESSION_WORDS
  }

  /** `first`: the number that the first packet gets. */
  beginSession(session: number, first: number): void {
    const at = session * SESSION_WORDS
    this.words[at] = first
    this.words[at + 1] = -1
    this.words[at + 2] = 0
  }

  /** The highest number received so far; `high` is -1 before the first. */
  highest(session: number): { high: number; low: number } {
    const at = session * SESSION_WORDS
    return { high: this.words[at + 1]!, low: this.words[at + 2]! >>> 0 }
  }

  setHighest(session: number, high: number, low: number): void {
    const at = session * SESSION_WORDS
    this.words[at + 1] = high
    this.words[at + 2] = low
  }

  flowAt(flow: number): number {
    return flow * FLOW_NUMBERS
  }

  beginFlow(flow: number, now: number): void {
    const at = flow * FLOW_NUMBERS
    this.flows.fill(0, at, at + FLOW_NUMBERS)
    this.flows[at + FlowNumber.lastSeen] = now
  }

  count(reason: number): void {
    this.drops[-reason] = this.drops[-reason]! + 1
  }

  /** Of all lanes. */
  dropsOf(reason: DropReason): number {
    return this.#sum(-reason)
  }

  /** Of all lanes; `kind` by `Traffic`. */
  trafficOf(kind: number): number {
    return this.#sum(DROPS + kind)
  }

  #sum(at: number): number {
    let sum = 0
    for (let i = at; i < this.#counters.length; i += COUNTERS) sum += this.#counters[i]!
    return sum
  }
}
