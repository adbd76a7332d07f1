import type { Suite } from '#shared/crypto/suite.ts'
import { type Deadline, type Machine, soonest } from '#shared/machine.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import { BindingProbe } from './binding-probe.ts'
import { LifetimeBracket } from './lifetime-bracket.ts'

/** Mappings that are made for one answer, at the most (P-05). */
const MOST_PROBES = 10
/** The socket that asks about the mappings of all others. */
export const ASKER = 0

export type LifetimeVerdict =
  /** Keep `interval`: a mapping outlives `survived`, and not `died` where one was seen to die. */
  | { kind: 'known'; interval: Duration; survived: Duration; died: Duration | undefined; probes: number }
  /** Nothing is known of this network; the default interval stays. */
  | {
      kind: 'unknown'
      why: 'no-response-port' | 'address-pooling' | 'unstable-mapping' | 'unreachable' | 'too-short'
      probes: number
    }

export type LifetimeInput =
  /** A datagram came to this socket. */
  { kind: 'heard'; socket: number; datagram: Uint8Array } | { kind: 'time' }

export type LifetimeOutput =
  /** Make a UDP socket of this number, on any port. */
  | { kind: 'open'; socket: number }
  | { kind: 'send'; socket: number; datagram: Uint8Array }
  | { kind: 'close'; socket: number }
  /** The last output. */
  | { kind: 'learnt'; verdict: LifetimeVerdict }

export interface BindingLifetimeOptions {
  readonly suite: Pick<Suite, 'random'>
  /** An interval that is long enough: what a longer one would save is not needed. */
  readonly enough?: Duration
}

/**
 * Learns how long this network's NAT keeps a UDP mapping in silence (DESIGN D7, P-05), on sockets of its own: the tunnel's mapping is
 * never put at risk. Several mappings of different ages wait at the same time; those older than one that died are given up.
 */
export class BindingLifetime implements Machine<LifetimeInput, LifetimeOutput> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #bracket: LifetimeBracket
  readonly #outputs: LifetimeOutput[] = [{ kind: 'open', socket: ASKER }]
  readonly #probes = new Map<number, BindingProbe>()
  #made = 0
  #done = false
  #wasTried = false

  constructor({ suite, enough }: BindingLifetimeOptions, now: Instant) {
    this.#suite = suite
    this.#bracket = new LifetimeBracket(enough)
    this.#nextRound(now)
  }

  handle(input: LifetimeInput, now: Instant): void {
    if (this.#done) return
    if (input.kind === 'heard' && input.socket === ASKER)
      for (const probe of this.#probes.values()) probe.askerHeard(input.datagram)
    else if (input.kind === 'heard') this.#probes.get(input.socket)?.mappingHeard(input.datagram, now)
    else for (const probe of this.#probes.values()) probe.expire(now)
    this.#reap(now)
    this.#collect()
  }

  poll(): LifetimeOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    let first: Deadline | undefined
    for (const probe of this.#probes.values()) first = soonest(first, probe.deadline)
    return first
  }

  #nextRound(now: Instant): void {
    const ages = this.#bracket.next(MOST_PROBES - this.#made)
    if (ages.length === 0) {
      this.#conclude()
      return
    }
    for (const age of ages) {
      const socket = ++this.#made
      this.#outputs.push({ kind: 'open', socket })
      this.#probes.set(socket, new BindingProbe({ suite: this.#suite, age, tries: !this.#wasTried }, now))
      this.#wasTried = true
    }
    this.#collect()
  }

  #reap(now: Instant): void {
    for (const [socket, { age, outcome }] of this.#probes) {
      if (outcome === undefined) continue
      this.#close(socket)
      if (outcome.kind === 'unknowable') {
        this.#end({ kind: 'unknown', why: outcome.why, probes: this.#made })
        return
      }
      if (outcome.kind === 'alive') this.#bracket.outlived(age)
      else if (outcome.kind === 'dead') this.#perished(age, outcome.within)
    }
    if (this.#probes.size === 0) this.#nextRound(now)
  }

  /** What has been silent for longer is as dead. */
  #perished(age: Duration, within: Duration): void {
    this.#bracket.perished(age, within)
    for (const [socket, probe] of this.#probes) if (probe.age >= age && probe.outcome === undefined) this.#close(socket)
  }

  #conclude(): void {
    const { interval, survived, died } = this.#bracket
    const probes = this.#made
    if (interval !== undefined && survived !== undefined) this.#end({ kind: 'known', interval, survived, died, probes })
    else this.#end({ kind: 'unknown', why: died === undefined ? 'unreachable' : 'too-short', probes })
  }

  #close(socket: number): void {
    this.#probes.delete(socket)
    this.#outputs.push({ kind: 'close', socket })
  }

  #end(verdict: LifetimeVerdict): void {
    for (const socket of [...this.#probes.keys()]) this.#close(socket)
    this.#outputs.push({ kind: 'close', socket: ASKER }, { kind: 'learnt', verdict })
    this.#done = true
  }

  #collect(): void {
    for (const [number, probe] of this.#probes) {
      for (let send = probe.takeSend(); send !== undefined; send = probe.takeSend())
        this.#outputs.push({ kind: 'send', socket: send.by === 'asker' ? ASKER : number, datagram: send.datagram })
    }
  }
}
