import { type Duration, milliseconds, seconds } from '#shared/time/instant.ts'

/** Nothing shorter is asked for: RFC 8085 §3.5 wants no keepalives more often than every 15 s, and what dies sooner is hardly a mapping. */
const SHORTEST = seconds(12)
/** RFC 4787 REQ-5 recommends five minutes; who keeps longer gains nothing. */
const LONGEST = seconds(290)
/** The interval that is chosen, as a part of the longest silence that was survived. */
const PRUDENCE = 0.94
/** A bracket so narrow is good enough: 0.94 of its lower end is at least 0.72 of its upper one. */
const NARROW = 1.3
/** Lifetimes are round numbers, seconds. What is tried is a little less, so that the network's delay does not spoil the answer. */
const CLIFFS = [15, 20, 30, 45, 60, 90, 120, 180, 240, 300].map((lifetime) => seconds(0.985 * lifetime))
/** Those that are tried first, at the same time. */
const FIRST = CLIFFS.filter((_, i) => [2, 4, 6].includes(i))
/** Two silences nearer to each other than this are the same question. */
const SAME = 1.02
/** What the bracket is cut to where it is cut: a little under NARROW, since the silence that was tried is never quite the one asked for. */
const CUT = 1.27

/**
 * What is known of how long a mapping outlives its last packet: it lies above every silence that was survived and not above those that
 * were not. Ages are chosen so that ten probes always suffice, several at a time.
 */
export class LifetimeBracket {
  readonly #longest: Duration
  #survived: Duration | undefined
  readonly #deaths: { asked: Duration; within: Duration }[] = []

  /** `enough`: no interval longer than this is of use (the data budget is met by it). */
  constructor(enough?: Duration) {
    this.#longest = enough === undefined ? LONGEST : milliseconds(Math.min(LONGEST, enough / PRUDENCE))
  }

  /** The longest silence that was survived. */
  get survived(): Duration | undefined {
    return this.#survived
  }

  /** The shortest silence that was not; a death below a longer life was a lost packet, and counts for nothing. */
  get died(): Duration | undefined {
    const sound = this.#deaths.filter(({ asked }) => asked > (this.#survived ?? 0))
    return sound.length === 0 ? undefined : milliseconds(Math.min(...sound.map(({ within }) => within)))
  }

  /** The interval to keep; undefined while not even the shortest silence was survived. */
  get interval(): Duration | undefined {
    return this.#survived === undefined ? undefined : milliseconds(PRUDENCE * this.#survived)
  }

  outlived(age: Duration): void {
    if (this.#survived === undefined || age > this.#survived) this.#survived = age
  }

  /** After a silence of `asked` it was gone; what was sent to prove it took until `within` after its last packet. */
  perished(asked: Duration, within: Duration): void {
    this.#deaths.push({ asked, within })
  }

  /** Silences to try next, ascending, `most` at the most; none: what is known is good enough. */
  next(most: number): Duration[] {
    const [from, to] = [this.#survived, this.died]
    if (to === undefined) {
      if (from !== undefined && from >= this.#longest) return []
      const begin = from === undefined ? FIRST.filter((age) => age * SAME < this.#longest) : []
      return [...begin, this.#longest].slice(0, most)
    }
    if (this.#deaths.some(({ asked }) => asked <= SHORTEST)) return []
    if (from !== undefined && to / from <= NARROW) return []
    return this.#cuts(from, to).slice(0, most)
  }

  #cuts(from: Duration | undefined, to: Duration): Duration[] {
    const low = from ?? SHORTEST
    const isNew = (age: Duration): boolean => this.#deaths.every(({ asked }) => age * SAME < asked || age > asked * SAME)
    const cliffs = CLIFFS.filter((age) => age > low * SAME && age * SAME < to && isNew(age))
    if (cliffs.length > 0) return cliffs
    const parts = Math.max(from === undefined ? 1 : 2, Math.ceil(Math.log(to / low) / Math.log(CUT)))
    const ages = Array.from({ length: parts - 1 }, (_, i) => milliseconds(low * (to / low) ** ((i + 1) / parts)))
    // Nothing has been survived yet, and there is little room below what was not: the shortest silence decides.
    return ages.length === 0 ? [SHORTEST] : ages
  }
}
