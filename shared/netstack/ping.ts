/** Echo requests that wait for their answer. */
export class Ping {
  readonly #identifier: number
  #sequence = 0
  readonly #waiting = new Map<number, { sentAt: number; expiresAt: number; resolve: (ms: number | undefined) => void }>()

  /** 16 random bits, so that nobody answers pings he has not seen. */
  constructor(identifier: number) {
    this.#identifier = identifier
  }

  get identifier(): number {
    return this.#identifier
  }

  /** Begins to wait; `resolve` gets the round trip in ms, or undefined at `expiresAt`. Returns the sequence number to send. */
  begin(now: number, expiresAt: number, resolve: (ms: number | undefined) => void): number {
    this.#sequence = (this.#sequence + 1) & 0xffff
    this.#waiting.get(this.#sequence)?.resolve(undefined)
    this.#waiting.set(this.#sequence, { sentAt: now, expiresAt, resolve })
    return this.#sequence
  }

  /** An echo reply whose ICMP header is at `view[at..]`. */
  answered(view: DataView, at: number, now: number): void {
    if (view.getUint16(at + 4) !== this.#identifier) return
    this.#end(view.getUint16(at + 6), (sentAt) => now - sentAt)
  }

  get deadline(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const { expiresAt } of this.#waiting.values()) earliest = Math.min(earliest, expiresAt)
    return earliest
  }

  expire(now: number): void {
    for (const [sequence, { expiresAt }] of this.#waiting) if (expiresAt <= now) this.#end(sequence, () => undefined)
  }

  #end(sequence: number, result: (sentAt: number) => number | undefined): void {
    const waiting = this.#waiting.get(sequence)
    if (waiting === undefined) return
    this.#waiting.delete(sequence)
    waiting.resolve(result(waiting.sentAt))
  }
}
