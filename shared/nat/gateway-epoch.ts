import { elapsed, type Instant } from '#shared/time/instant.ts'

/**
 * The gateway's count of seconds since it lost its mappings (RFC 6887 §8.5; RFC 6886 §3.6 has the same number). Clocks may drift by a
 * sixteenth and lag by two seconds; beyond that it has started anew, and what it held is gone.
 */
export class GatewayEpoch {
  #heard: { epoch: number; at: Instant } | undefined

  /** Whether mappings that were made before may be gone. */
  heard(epoch: number, now: Instant): boolean {
    const before = this.#heard
    this.#heard = { epoch, at: now }
    if (before === undefined) return false
    if (epoch + 1 < before.epoch) return true
    const ours = elapsed(before.at, now) / 1_000
    const theirs = epoch - before.epoch
    return ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16
  }
}
