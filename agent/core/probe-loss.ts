/** What one more probe weighs. */
const WEIGHT = 1 / 8
/** A verdict by chance alone is to be so rare, and never to take more probes than this. */
const CHANCE = 1e-5
const MOST = 12

/**
 * How many probes a path loses while it works, learned from those that came back and from those lost just before them: what a verdict takes
 * where loss is ordinary. Of a path that works no more it learns nothing.
 */
export class ProbeLoss {
  #loss = 0

  /** A probe came back, after `lost` did not. */
  returned(lost: number): void {
    for (let i = 0; i < lost; i++) this.#loss += (1 - this.#loss) * WEIGHT
    this.#loss -= this.#loss * WEIGHT
  }

  /** Another path. */
  forget(): void {
    this.#loss = 0
  }

  /** So many lost in a row are no chance; at least `least`. */
  verdict(least: number): number {
    const enough = this.#loss > 0 ? Math.ceil(Math.log(CHANCE) / Math.log(this.#loss)) : 0
    return Math.min(MOST, Math.max(least, enough))
  }
}
