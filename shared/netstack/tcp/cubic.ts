/** RFC 9438 §4.6 and §4.1: what remains after a reduction, and the steepness (segments per second cubed). */
const BETA = 0.7
const C = 0.4

/** Segments of the first window (RFC 6928), and at most so many are added for one acknowledgement in slow start (RFC 9406 §4.2). */
const INITIAL_WINDOW = 10
const SLOW_START_LIMIT = 8

/**
 * Congestion control: CUBIC (RFC 9438) with fast convergence and the Reno-friendly region. Windows are in bytes, times in milliseconds.
 */
export class Cubic {
  window: number
  /** Slow-start threshold; infinite before the first loss. */
  threshold = Number.POSITIVE_INFINITY
  #mss: number
  /** Window before the last reduction, in segments, and the estimate of what Reno would have. */
  #maximum = 0.5
  #reno = 0.5
  /** Start of the current avoidance phase; negative: none. */
  #epoch = -0.5
  /** Time that the curve takes to return to `#maximum`, seconds. */
  #k = 0.5
  /** Before the last reduction, for undoing it; 0: nothing to undo. */
  #undoWindow = 0
  #undoThreshold = 0
  #undoMaximum = 0

  constructor(mss: number) {
    this.#mss = mss
    this.window = INITIAL_WINDOW * mss
  }

  get inSlowStart(): boolean {
    return this.window < this.threshold
  }

  setMss(mss: number): void {
    this.window = Math.max(2 * mss, (this.window / this.#mss) * mss)
    this.#mss = mss
  }

  /** `bytes` were newly delivered while the window was in full use. */
  acknowledged(bytes: number, smoothedRtt: number, now: number): void {
    if (this.inSlowStart) {
      this.window += Math.min(bytes, SLOW_START_LIMIT * this.#mss)
      return
    }
    const segments = this.window / this.#mss
    if (this.#epoch < 0) this.#startEpoch(segments, now)
    const target = this.#curve((now - this.#epoch + smoothedRtt) / 1000)
    const acked = bytes / this.#mss
    const alpha = this.#reno >= this.#maximum ? 1 : (3 * (1 - BETA)) / (1 + BETA)
    this.#reno += (alpha * acked) / segments
    const grown = segments + (Math.min(Math.max(target, segments), 1.5 * segments) - segments) * (acked / segments)
    this.window = Math.max(grown, this.#reno, segments) * this.#mss
  }

  /** A loss was found: once for each window of data. */
  reduce(): void {
    this.#remember()
    const segments = this.window / this.#mss
    this.#maximum = segments < this.#maximum ? (segments * (1 + BETA)) / 2 : segments
    this.#epoch = -0.5
    this.threshold = Math.max(2 * this.#mss, this.window * BETA)
  }

  /** A retransmission timeout: start anew with one segment. */
  collapse(again: boolean): void {
    if (!again) this.reduce()
    this.window = this.#mss
  }

  /** The last reduction answered a loss that was none. */
  undo(): void {
    if (this.#undoWindow === 0) return
    this.window = Math.max(this.window, this.#undoWindow)
    this.threshold = Math.max(this.threshold, this.#undoThreshold)
    this.#maximum = this.#undoMaximum
    this.#undoWindow = 0
    this.#epoch = -0.5
  }

  /** Nothing was sent for longer than a timeout (RFC 5681 §4.1). */
  restartAfterIdle(): void {
    this.window = Math.min(this.window, INITIAL_WINDOW * this.#mss)
    this.#epoch = -0.5
  }

  #startEpoch(segments: number, now: number): void {
    this.#epoch = now
    this.#reno = segments
    if (segments < this.#maximum) this.#k = Math.cbrt((this.#maximum - segments) / C)
    else {
      this.#k = 0
      this.#maximum = segments
    }
  }

  #curve(seconds: number): number {
    const t = seconds - this.#k
    return C * t * t * t + this.#maximum
  }

  #remember(): void {
    this.#undoWindow = this.window
    this.#undoThreshold = this.threshold
    this.#undoMaximum = this.#maximum
  }
}
