import type { Log } from '#shared/platform/log.ts'
import { type Clock, elapsed, type Instant, minutes } from '#shared/time/instant.ts'

/** It is told no oftener, whatever a stranger sends. */
const TELL_EVERY = minutes(1)

/**
 * What arrives from the network must never throw. Where it does, that is a defect of ours, and no reason to end a program that a whole fleet
 * depends on, again and again for as long as somebody sends it: the datagram is dropped, the log has the stack.
 */
export class DefectWatch {
  readonly #log: Pick<Log, 'error'>
  readonly #clock: Pick<Clock, 'now'>
  #toldAt: Instant | undefined
  #untold = 0

  constructor(log: Pick<Log, 'error'>, clock: Pick<Clock, 'now'>) {
    this.#log = log
    this.#clock = clock
  }

  met(error: unknown): void {
    const now = this.#clock.now()
    this.#untold++
    if (this.#toldAt !== undefined && elapsed(this.#toldAt, now) < TELL_EVERY) return
    this.#log.error({ err: error, times: this.#untold }, 'a datagram was dropped by a defect of adit: please report this')
    this.#toldAt = now
    this.#untold = 0
  }
}
