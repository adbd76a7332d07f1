import type { Presence } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, type Instant, minutes, seconds } from '#shared/time/instant.ts'

/** Somebody looks on for so long after he has asked. */
const watchedFor = seconds(20)
/** How often those that are watched are looked at, and how old evidence may be that needs no proof. */
const every = seconds(5)
const fresh = seconds(8)
/** An answer is waited for so long, and asked for twice: a lost packet is no silence. Both within 15 s of the first look. */
const patience = seconds(4)
const attempts = 2
/** Asked at the same time, at most: each may cost a handshake. */
const atOnce = 256
/** Who shows a sign of life more rarely than this sleeps, and answers only after a poll. */
const sleeping = minutes(6)

export interface PresenceWatchOptions {
  clock: Clock
  timers: Timers
  presence(principal: Principal): Presence
  /** Asks for an authentic answer; the session is made anew where it has lapsed. */
  probe(principal: Principal, timeoutMs: number): Promise<boolean>
  /** It gave none, although it was asked at this wall-clock time and after. */
  unanswered(principal: Principal, asked: number): void
}

/**
 * While somebody looks at a device, what is said of it rests on proofs and not on keepalives: its evidence is never older than 15 s. Only
 * what counts as `up` is asked; what is down shows itself.
 */
export class PresenceWatch {
  readonly #options: PresenceWatchOptions
  readonly #watched = new Map<number, { principal: Principal; until: Instant }>()
  readonly #asking = new Set<number>()
  #timer: Timer | undefined

  constructor(options: PresenceWatchOptions) {
    this.#options = options
  }

  /** Somebody looks at these. */
  watch(principals: Iterable<Principal>): void {
    const until = (this.#options.clock.now() + watchedFor) as Instant
    for (const principal of principals) this.#watched.set(principal.id, { principal, until })
    if (this.#timer === undefined && this.#watched.size > 0) this.#look()
  }

  stop(): void {
    this.#timer?.clear()
    this.#watched.clear()
  }

  #look(): void {
    const { clock, timers } = this.#options
    const now = clock.now()
    for (const [id, { principal, until }] of this.#watched) {
      if (now >= until) this.#watched.delete(id)
      else if (this.#asking.size < atOnce && !this.#asking.has(id) && this.#isDue(principal)) void this.#ask(principal)
    }
    this.#timer = this.#watched.size === 0 ? undefined : timers.setTimer(every, () => this.#look())
  }

  #isDue(principal: Principal): boolean {
    const { state, lastAuthentic = 0, lastHint = 0 } = this.#options.presence(principal)
    const wall = this.#options.clock.wall()
    if (state !== 'up' || wall - lastAuthentic <= fresh) return false
    // One that sleeps can be asked while the mapping of its poll lives: that is how it wakes.
    return !this.#sleeps(principal) || wall - lastHint <= fresh
  }

  #sleeps(principal: Principal): boolean {
    return (this.#options.presence(principal).paceSeconds ?? 0) * 1000 >= sleeping
  }

  async #ask(principal: Principal): Promise<void> {
    const { clock, probe, unanswered } = this.#options
    const asked = clock.wall()
    this.#asking.add(principal.id)
    try {
      for (let attempt = 0; attempt < attempts; attempt++) if (await probe(principal, patience)) return
      if (!this.#sleeps(principal)) unanswered(principal, asked)
    } finally {
      this.#asking.delete(principal.id)
    }
  }
}
