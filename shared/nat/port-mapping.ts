import type { Suite } from '#shared/crypto/suite.ts'
import type { Deadline, Machine } from '#shared/machine.ts'
import { Backoff, type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, elapsed, hours, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { PCP_NONCE_LENGTH, PCP_SERVER_PORT } from '#shared/wire/pcp.ts'
import { GatewayEpoch } from './gateway-epoch.ts'
import { NatPmpDialect, PcpDialect, type PortMappingDialect, type Reading } from './port-mapping-dialect.ts'

/** What we ask for, seconds: each hour that a lease is longer spares a quarter of a kilobyte a day, and a gateway gives less if it will. */
const LIFETIME = 86_400
/** What we believe at most (RFC 6887 §15). */
const LONGEST_LIFETIME = hours(24)
/** Not sooner after the last question, however short the lease: one that ends before is asked for anew. */
const SHORTEST_RENEWAL = seconds(15)
/** After an announcement that its mappings are gone, a gateway's clients do not all come at once (RFC 6887 §14.1.3). */
const STAGGER = seconds(5)
/** A gateway counts whole seconds, and may have begun in the middle of one. */
const WHOLE_SECONDS = seconds(1)
/** A goodbye is said so many times, with so much time in between. */
const GOODBYES = 3
const GOODBYE_EVERY = milliseconds(250)

export interface PortMappingOptions {
  readonly suite: Pick<Suite, 'random'>
  /** The default gateway's literal address; of IPv6: link-local with its zone, mostly. */
  readonly gateway: string
  /** Our own address on the way to it. */
  readonly client: string
  /** The UDP port that is to be reached from outside. */
  readonly internalPort: number
}

export type PortMappingInput =
  /** What came from the server's port, or was announced to the clients' port. */
  | { kind: 'datagram'; datagram: Uint8Array; from: Endpoint }
  /** The tunnel has another socket. */
  | { kind: 'internal-port'; port: number }
  /** Give the mapping back. */
  | { kind: 'stop' }
  | { kind: 'time' }

export type PortMappingOutput =
  | { kind: 'send'; datagram: Uint8Array; to: Endpoint }
  /** Where we are reached from outside, at first and whenever it changes; undefined: nowhere any more. */
  | { kind: 'external'; external: Endpoint | undefined }
  /** Nothing more comes. */
  | { kind: 'closed' }

/** For diagnostics. */
export interface PortMappingReport {
  readonly gateway: string
  readonly external: Endpoint | undefined
  /** What the gateway speaks; undefined where it has not answered. */
  readonly protocol: 'PCP' | 'NAT-PMP' | 'UPnP' | undefined
  /** Why there is none, as the gateway said it; `silent`: it said nothing. */
  readonly refused: string | undefined
}

type Phase = 'asking' | 'held' | 'renewing' | 'resting' | 'leaving' | 'closed'

/**
 * A port of the gateway that leads to ours: asked for by PCP, then by NAT-PMP, renewed at about half its lifetime, asked for anew when the
 * gateway has lost it, and given back at the end. A gateway that answers neither is asked again ever more seldom.
 *
 *   asking --mapped--> held --half its life--> renewing --mapped--> held      renewing --its end--> asking
 *   asking --refused or silent--> the next protocol, else resting --back-off--> asking
 */
export class PortMapping implements Machine<PortMappingInput, PortMappingOutput> {
  readonly #options: PortMappingOptions
  readonly #dice: Dice
  readonly #backoff: Backoff
  readonly #epoch = new GatewayEpoch()
  readonly #outputs: PortMappingOutput[] = []
  readonly #server: Endpoint
  #internalPort: number
  #dialects: readonly PortMappingDialect[]
  #speaking = 0
  #phase: Phase = 'asking'
  /** When this round of questions began, and how many have been put. */
  #began: Instant
  #asked = 0
  #dueAt: Instant
  #external: Endpoint | undefined
  #endsAt: Instant | undefined
  /** When the gateway last said that we have it. */
  #mappedAt: Instant | undefined
  #protocol: PortMappingReport['protocol']
  #refused: string | undefined

  constructor(options: PortMappingOptions, now: Instant) {
    this.#options = options
    this.#dice = uniform((length) => options.suite.random(length))
    this.#backoff = new Backoff({ base: hours(6), cap: hours(24) }, this.#dice)
    this.#server = { address: options.gateway, port: PCP_SERVER_PORT }
    this.#internalPort = options.internalPort
    this.#dialects = this.#newDialects()
    this.#began = this.#dueAt = now
    this.#ask('asking', now)
  }

  get report(): PortMappingReport {
    const { gateway } = this.#options
    return { gateway, external: this.#external, protocol: this.#protocol, refused: this.#refused }
  }

  handle(input: PortMappingInput, now: Instant): void {
    if (this.#phase === 'closed') return
    if (input.kind === 'stop') this.#leave(now)
    else if (this.#phase === 'leaving') this.#leaving(input, now)
    else if (input.kind === 'internal-port') this.#moveTo(input.port, now)
    else if (input.kind === 'datagram') this.#receive(input.datagram, input.from, now)
    else this.#expire(now)
  }

  poll(): PortMappingOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    if (this.#phase === 'closed') return undefined
    const isEnding = this.#endsAt !== undefined && this.#endsAt < this.#dueAt && this.#phase !== 'leaving'
    return { at: isEnding ? this.#endsAt! : this.#dueAt, why: `port mapping: ${this.#phase}` }
  }

  get #dialect(): PortMappingDialect {
    return this.#dialects[this.#speaking]!
  }

  /** Where nobody has answered before, one question each is enough. */
  get #tries(): number {
    return this.#refused === 'silent' ? 1 : this.#dialect.schedule.length - 1
  }

  /** With a nonce of their own. NAT-PMP knows IPv4 alone. */
  #newDialects(): readonly PortMappingDialect[] {
    const { suite, client } = this.#options
    const options = { internalPort: this.#internalPort, client, nonce: suite.random(PCP_NONCE_LENGTH) }
    return client.includes(':') ? [new PcpDialect(options)] : [new PcpDialect(options), new NatPmpDialect(options)]
  }

  #expire(now: Instant): void {
    if (this.#endsAt !== undefined && now >= this.#endsAt) {
      this.#lose()
      this.#startOver(now)
    }
    while (now >= this.#dueAt) {
      if (this.#phase === 'held') this.#ask('renewing', now)
      else if (this.#phase === 'resting') this.#startOver(now)
      else if (this.#asked < this.#tries) this.#putQuestion()
      else this.#unanswered(now)
    }
  }

  #startOver(now: Instant): void {
    this.#speaking = 0
    this.#ask('asking', now)
  }

  #ask(phase: 'asking' | 'renewing', now: Instant): void {
    this.#phase = phase
    this.#began = now
    this.#asked = 0
    this.#putQuestion()
  }

  #putQuestion(): void {
    this.#asked++
    this.#send(this.#dialect.ask(LIFETIME, this.#external))
    const { schedule } = this.#dialect
    this.#dueAt = after(this.#began, milliseconds(schedule[this.#asked < this.#tries ? this.#asked : schedule.length - 1]!))
  }

  #unanswered(now: Instant): void {
    if (this.#phase === 'renewing') {
      // It may be starting anew: what is left of the lease is halved, and halved again.
      this.#phase = 'held'
      this.#renewIn(milliseconds(elapsed(now, this.#endsAt!) / 2), now)
    } else this.#nextDialect('silent', this.#backoff.next(), now)
  }

  #receive(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    if (!sameEndpoint(from, this.#server)) return
    const reading = this.#dialect.read(datagram)
    if (reading === undefined) return
    const isLost = this.#epoch.heard(reading.epoch, now)
    const isAsking = this.#phase === 'asking' || this.#phase === 'renewing'
    if (reading.kind === 'mapped' && isAsking) this.#mapped(reading, now)
    else if (reading.kind === 'refused' && isAsking) this.#refuse(reading, now)
    else if (
      isLost ||
      reading.kind === 'deleted' ||
      (reading.kind === 'announced' && this.#mayHaveForgotten(reading.epoch, now))
    ) {
      const soon = after(now, milliseconds(this.#dice() * STAGGER))
      if (soon < this.#dueAt) this.#dueAt = soon
    }
  }

  /** Whether it may have begun after it last gave us the mapping: two starts within seconds pass for one in the count alone. */
  #mayHaveForgotten(epoch: number, now: Instant): boolean {
    return this.#mappedAt !== undefined && elapsed(this.#mappedAt, now) + WHOLE_SECONDS > seconds(epoch)
  }

  #mapped({ external, lifetime }: Reading & { kind: 'mapped' }, now: Instant): void {
    if (external.port === 0 || external.address === '0.0.0.0' || external.address === '::') {
      this.#lose()
      this.#rest('no external address', this.#backoff.next(), now)
      return
    }
    const span = milliseconds(Math.min(lifetime, LONGEST_LIFETIME))
    this.#phase = 'held'
    this.#protocol = this.#dialect.name
    this.#refused = undefined
    this.#backoff.reset()
    this.#mappedAt = now
    this.#endsAt = after(now, span)
    // From a half to five eighths (RFC 6887 §11.2.1).
    this.#renewIn(milliseconds(span * (0.5 + this.#dice() / 8)), now)
    if (sameEndpoint(external, this.#external)) return
    this.#external = external
    this.#outputs.push({ kind: 'external', external })
  }

  #refuse({ why, wait, isForeign }: Reading & { kind: 'refused' }, now: Instant): void {
    // What we hold lasts to its end, whatever is said of the next lease.
    if (this.#phase === 'renewing') this.#unanswered(now)
    else if (isForeign) this.#nextDialect(why, this.#backoff.next(), now)
    else {
      this.#protocol = this.#dialect.name
      this.#rest(why, wait, now)
    }
  }

  #nextDialect(why: string, wait: Duration, now: Instant): void {
    this.#speaking++
    if (this.#speaking < this.#dialects.length) this.#ask('asking', now)
    else this.#rest(why, wait, now)
  }

  #rest(why: string, wait: Duration, now: Instant): void {
    this.#speaking = 0
    this.#phase = 'resting'
    this.#refused = why
    this.#dueAt = after(now, wait)
  }

  #renewIn(span: Duration, now: Instant): void {
    this.#dueAt = after(now, milliseconds(Math.max(span, SHORTEST_RENEWAL)))
  }

  #lose(): void {
    this.#endsAt = undefined
    if (this.#external === undefined) return
    this.#external = undefined
    this.#outputs.push({ kind: 'external', external: undefined })
  }

  #moveTo(port: number, now: Instant): void {
    if (port === this.#internalPort) return
    if (this.#external) this.#send(this.#dialect.remove())
    this.#lose()
    this.#internalPort = port
    this.#dialects = this.#newDialects()
    this.#startOver(now)
  }

  #leave(now: Instant): void {
    if (this.#phase === 'leaving') return
    if (this.#external === undefined) {
      // A question may be under way whose answer we shall not hear: it is taken back, and nobody waited for.
      if (this.#phase === 'asking') this.#send(this.#dialect.remove())
      this.#close()
      return
    }
    this.#lose()
    this.#phase = 'leaving'
    this.#asked = 0
    this.#sayGoodbye(now)
  }

  #leaving(input: PortMappingInput, now: Instant): void {
    if (input.kind === 'datagram') {
      if (sameEndpoint(input.from, this.#server) && this.#dialect.read(input.datagram)?.kind === 'deleted') this.#close()
    } else if (now >= this.#dueAt) {
      if (this.#asked < GOODBYES) this.#sayGoodbye(now)
      else this.#close()
    }
  }

  #sayGoodbye(now: Instant): void {
    this.#asked++
    this.#send(this.#dialect.remove())
    this.#dueAt = after(now, GOODBYE_EVERY)
  }

  #close(): void {
    this.#phase = 'closed'
    this.#outputs.push({ kind: 'closed' })
  }

  #send(datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) this.#outputs.push({ kind: 'send', datagram, to: this.#server })
  }
}
