/** Milliseconds. RFC 6298 asks for a floor of 1 s; like every kernel we use less, and let RACK-TLP act before it. */
const RTO_FIRST = 1_000
const RTO_FLOOR = 200
const RTO_CEILING = 60_000

/** How long a least round trip is believed, ms. */
const LEAST_WINDOW = 10_000

/** Round-trip time and retransmission timeout, RFC 6298; the least recent round trip, for RACK. All in milliseconds. */
export class RoundTrip {
  /** Smoothed; negative before the first sample. */
  smoothed = -0.5
  variation = 0.5
  /** Least of the last ten seconds or so. */
  least = Number.POSITIVE_INFINITY
  #leastAt = 0.5
  /** Doublings since the last sample or acknowledgement of new data. */
  backoff = 0

  sample(ms: number, now: number): void {
    if (this.smoothed < 0) {
      this.smoothed = ms
      this.variation = ms / 2
    } else {
      this.variation += (Math.abs(this.smoothed - ms) - this.variation) / 4
      this.smoothed += (ms - this.smoothed) / 8
    }
    if (ms <= this.least || now - this.#leastAt > LEAST_WINDOW) {
      this.least = ms
      this.#leastAt = now
    }
  }

  get known(): boolean {
    return this.smoothed >= 0
  }

  /** Retransmission timeout without backoff. */
  get timeout(): number {
    if (this.smoothed < 0) return RTO_FIRST
    return Math.min(RTO_CEILING, this.smoothed + Math.max(RTO_FLOOR, 4 * this.variation))
  }

  /** With backoff. */
  get retransmitTimeout(): number {
    return Math.min(RTO_CEILING, this.timeout * 2 ** this.backoff)
  }
}
