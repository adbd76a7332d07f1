import { median } from './statistics.ts'

/** What one trial of a rate came to. */
export interface Trial {
  /** Packets a second. */
  readonly delivered: number
  /** 0 to 1. */
  readonly lost: number
}

/** Above this share lost a rate does not count. */
export const lowLoss = 0.01
/** From this share on nobody else is to blame. */
const hopeless = 0.3

/**
 * Searches the highest rate of packets that a tunnel delivers with at most 1 % lost, as RFC 2544 §26.1 searches throughput: by trials
 * between a rate that passes and one that does not, halving the ratio of the two. A rate that fails barely is tried twice, since another program may
 * have had the processor. Each search begins where those before it ended.
 */
export class LowLossRate {
  readonly #found: number[] = []

  /** Packets a second delivered in the best trial that passed; 0 where none did. `flood`: what came of as many as can be sent. */
  async search(flood: Trial, trial: (packetsPerSecond: number) => Promise<Trial>): Promise<number> {
    const found = await this.#search(flood, trial)
    this.#found.push(found)
    return found
  }

  async #search(flood: Trial, trial: (packetsPerSecond: number) => Promise<Trial>): Promise<number> {
    if (flood.lost <= lowLoss) return flood.delivered
    const known = median(this.#found)
    // What arrives of a flood is a hint: an overwhelmed receiver delivers less than it could.
    const hint = Math.max(flood.delivered, 4_000)
    let [low, high] = known > 0 ? [known * 0.75, known * 1.33] : [hint / 4, hint * 2]
    let best = 0
    const tries = known > 0 ? 4 : 5
    // Where even the lowest is too much, some trials more look below it.
    for (let n = 0; n < tries || (best === 0 && n < 2 * tries); n++) {
      const rate = Math.sqrt(low * high)
      let { delivered, lost } = await trial(rate)
      if (lost > lowLoss && lost < hopeless) ({ delivered, lost } = await trial(rate))
      if (lost <= lowLoss) {
        best = Math.max(best, delivered)
        low = rate
      } else {
        high = rate
        if (best === 0) low = Math.min(low, rate / 2)
      }
    }
    return best
  }
}
