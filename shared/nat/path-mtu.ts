import type { Deadline, Machine } from '#shared/machine.ts'
import { after, type Duration, elapsed, type Instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'

/** What every IPv4 path takes (RFC 791 §3.2); nothing smaller is tried. Bytes, as all sizes here: whole outer IP packets. */
export const LEAST_PATH_MTU = 576
/** What links are made with: PPPoE, tunnels of every kind, IPv6's least, the black holes of tests (RFC 8899 §5.3.2 allows a table). */
const PLATEAUS = [576, 640, 768, 896, 1000, 1100, 1200, 1240, 1280, 1320, 1360, 1400, 1420, 1440, 1460, 1480, 1492, 1500]
/** A size is given up after so many probes without answer (RFC 8899 §5.1.2, MAX_PROBES). */
const TRIES = 3
/** Between two tries of one size; at least two round trips. */
const TRY_SPAN: Duration = milliseconds(250)
/** Closer than this is close enough: noise pads to 16 bytes. */
const GRAIN = 16
/** How long after a search a larger size is tried again (RFC 8899 §5.1.1, PMTU_RAISE_TIMER), and the first time. */
const RAISE_AFTER: Duration = minutes(10)
const FIRST_RAISE_AFTER: Duration = seconds(1)

export type PathMtuInput =
  /** Another path, of which nothing is known: `base` is what is believed without proof, `ceiling` what is never exceeded. */
  | { kind: 'path'; base: number; ceiling: number }
  /** A probe of `size` came back: it passes both ways. */
  | { kind: 'answered'; size: number }
  /** Packets of the present size get no answer while small ones do. */
  | { kind: 'black-hole' }
  /** Packets of the present size are in use: worth a look whether larger ones pass. */
  | { kind: 'used' }
  | { kind: 'round-trip'; roundTrip: Duration }
  | { kind: 'time' }

export type PathMtuOutput =
  /** Send an authenticated probe that makes an outer packet of `size`. */
  | { kind: 'probe'; size: number }
  /** From now on packets may be so large. */
  | { kind: 'changed'; size: number }
  /** Not even the least size passes, though small packets do. */
  | { kind: 'hopeless' }

interface Search {
  readonly sizes: readonly number[]
  /** Those without answer yet, with the probes that each has cost. */
  readonly trials: Map<number, number>
  nextAt: Instant
  /** A burst of many sizes ends a try span after its first answer: what has not come by then is too large. */
  readonly burst: boolean
  answeredAt: Instant | undefined
}

/**
 * The largest packet that passes one path both ways, found by packets and not by ICMP (RFC 8899):
 *
 *   base --answered--> proven --used--> searching upwards --done--> proven …       any --black-hole--> burst downwards --> bisection
 *
 * Downwards all plateaus are asked at once, so that a stream stalls for one round trip and not for a search; what lies between the
 * largest that passes and the next is bisected while traffic runs again.
 */
export class PathMtu implements Machine<PathMtuInput, PathMtuOutput> {
  readonly #outputs: PathMtuOutput[] = []
  #size = LEAST_PATH_MTU
  #ceiling = LEAST_PATH_MTU
  /** The largest that was answered on this path, and the least that was not. */
  #passes = 0
  #fails = Number.POSITIVE_INFINITY
  #search: Search | undefined
  #raiseAt: Instant | undefined
  #patience: Duration = TRY_SPAN

  /** Outer bytes that may be sent. */
  get size(): number {
    return this.#size
  }

  /** Whether an answer has shown that `size` passes. */
  get isProven(): boolean {
    return this.#passes >= this.#size
  }

  get isSearching(): boolean {
    return this.#search !== undefined
  }

  handle(input: PathMtuInput, now: Instant): void {
    switch (input.kind) {
      case 'path':
        this.#begin(input.base, input.ceiling)
        break
      case 'answered':
        this.#answered(input.size, now)
        break
      case 'black-hole':
        this.#descend(now)
        break
      case 'used':
        this.#raise(now)
        break
      case 'round-trip':
        this.#patience = milliseconds(Math.max(TRY_SPAN, 2 * input.roundTrip))
        break
      case 'time':
        this.#expire(now)
    }
  }

  poll(): PathMtuOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    return this.#search && { at: this.#search.nextAt, why: 'a probe of the path MTU is due' }
  }

  #begin(base: number, ceiling: number): void {
    this.#ceiling = ceiling
    this.#passes = 0
    this.#fails = Number.POSITIVE_INFINITY
    this.#search = undefined
    this.#raiseAt = undefined
    this.#outputs.length = 0
    this.#settle(Math.min(base, ceiling))
  }

  #answered(size: number, now: Instant): void {
    if (size > this.#ceiling) return
    this.#passes = Math.max(this.#passes, size)
    if (size >= this.#fails) this.#fails = Number.POSITIVE_INFINITY
    const search = this.#search
    if (search === undefined) {
      if (this.isProven) this.#raiseAt ??= after(now, FIRST_RAISE_AFTER)
      return
    }
    for (const trial of [...search.trials.keys()]) if (trial <= size) search.trials.delete(trial)
    if (search.burst && search.answeredAt === undefined) {
      search.answeredAt = now
      search.nextAt = after(now, milliseconds(this.#patience / 2))
    }
    if (search.trials.size === 0) this.#conclude(now)
  }

  /** Everything at once, the present size among it: a burst of loss is no black hole. */
  #descend(now: Instant): void {
    if (this.#search?.burst) return
    const sizes = PLATEAUS.filter((size) => size < this.#size)
    this.#passes = 0
    this.#fails = Number.POSITIVE_INFINITY
    this.#open([...(sizes.length > 0 ? sizes : [LEAST_PATH_MTU]), this.#size], true, now)
  }

  #raise(now: Instant): void {
    if (this.#search !== undefined || this.#raiseAt === undefined || now < this.#raiseAt) return
    this.#raiseAt = after(now, RAISE_AFTER)
    // What failed some minutes ago may pass now.
    this.#fails = Number.POSITIVE_INFINITY
    if (this.#ceiling > this.#size) this.#open([this.#ceiling], false, now)
  }

  #open(sizes: readonly number[], burst: boolean, now: Instant): void {
    this.#search = { sizes, trials: new Map(sizes.map((size) => [size, 0])), nextAt: now, burst, answeredAt: undefined }
    this.#expire(now)
  }

  #expire(now: Instant): void {
    const search = this.#search
    if (search === undefined || now < search.nextAt) return
    if (search.answeredAt !== undefined && elapsed(search.answeredAt, now) >= this.#patience / 2) {
      this.#conclude(now)
      return
    }
    for (const [size, tries] of search.trials) {
      if (tries >= TRIES) search.trials.delete(size)
      else {
        search.trials.set(size, tries + 1)
        this.#outputs.push({ kind: 'probe', size })
      }
    }
    search.nextAt = after(now, this.#patience)
    if (search.trials.size === 0) this.#conclude(now)
  }

  /** A search step has its answers: take the largest that passes, and go on between it and what does not. */
  #conclude(now: Instant): void {
    const { sizes, burst } = this.#search!
    this.#search = undefined
    if (this.#passes === 0) {
      this.#outputs.push({ kind: 'hopeless' })
      return
    }
    // Of a burst, only the present size has failed more than once.
    const tried = burst ? [this.#size] : sizes
    for (const size of tried) if (size > this.#passes) this.#fails = Math.min(this.#fails, size)
    this.#settle(this.#passes)
    this.#narrow(now)
  }

  #narrow(now: Instant): void {
    const above = Math.min(this.#fails, this.#ceiling + 1)
    if (above - this.#size <= GRAIN || !Number.isFinite(above)) {
      this.#raiseAt = after(now, RAISE_AFTER)
      return
    }
    const middle = this.#size + Math.floor((above - this.#size) / 2)
    const plateau = PLATEAUS.find((size) => size > this.#size && size < above && size >= middle - GRAIN)
    this.#open([plateau ?? middle], false, now)
  }

  #settle(size: number): void {
    if (size === this.#size) return
    this.#size = size
    this.#outputs.push({ kind: 'changed', size })
  }
}
