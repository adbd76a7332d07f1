import { DropReason } from '#shared/drop-reason.ts'
import type { IkeOutput } from '#shared/ikev2/ike-output.ts'
import type { IkeSa } from '#shared/ikev2/ike-sa.ts'
import type { Instant } from '#shared/time/instant.ts'
import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { EspAssociation } from './esp-association.ts'
import type { EspCore } from './esp-core.ts'
import { sendIke } from './send-ike.ts'
import { laterThan, type Sleeper } from './wake-ups.ts'

/** Messages that name a half-open IKE SA and do not decrypt, after which it is given up. */
const MAX_FAILURES = 3

/** Whence a message came, and whether without the non-ESP marker (port 500). */
export interface Arrival {
  readonly from: Endpoint
  readonly bare: boolean
}

/**
 * One IKE SA in the care of an EspEndpoint: passes datagrams in and outputs on, keeps it under its SPIs, wakes it in time. Before it is
 * authenticated it knows its own place, from then on the path of its association decides.
 */
export class HeldIkeSa implements Sleeper {
  due = 0 as Instant
  slot = -1
  readonly sa: IkeSa
  readonly initiator: boolean
  /** The peer has shown a cookie: it receives at `place`. */
  readonly proven: boolean
  association: EspAssociation | undefined
  /** One message was sent, and nothing repeats it. */
  quiet = false
  /** When a message of it went out last. */
  sentAt: Instant | undefined
  readonly #core: EspCore
  #place: Endpoint | undefined
  /** The endpoint whose authentic messages come without the marker; answers go there the same way. */
  #bareAt: Endpoint | undefined
  /** The message under way. */
  #arrival: Arrival | undefined
  #failures = 0
  #isAnswered = false
  #sent = 0
  #spis: readonly bigint[] = []
  #hasEnded = false

  constructor(
    core: EspCore,
    sa: IkeSa,
    start: { initiator: boolean; proven: boolean; place: Endpoint | undefined; bare: boolean },
  ) {
    this.#core = core
    this.sa = sa
    this.initiator = start.initiator
    this.proven = start.proven
    this.#place = start.place
    this.#bareAt = start.bare ? start.place : undefined
    this.#index()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get isAuthenticated(): boolean {
    return this.sa.state === 'established' || this.sa.state === 'closing'
  }

  /** Something came back, authentic or of the first exchange. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  /** Messages that went out. */
  get sent(): number {
    return this.#sent
  }

  /** Where its last authentic message came from, or the last of the first exchange. */
  get place(): Endpoint | undefined {
    return this.#place
  }

  get why(): string {
    return this.sa.deadline()?.why ?? 'nothing'
  }

  /** One IKE message that names it. Returns 0, or a negative DropReason. */
  receive(message: Uint8Array, arrival: Arrival, now: Instant): number {
    this.#arrival = arrival
    const verdict = this.sa.receive(message, arrival.from, now)
    if (verdict === 0) this.#follow(arrival, message.length, now)
    this.settle(now)
    this.#arrival = undefined
    if (verdict === DropReason.Unauthentic && this.sa.state === 'half-open' && ++this.#failures >= MAX_FAILURES) this.end()
    return verdict
  }

  expire(now: Instant): void {
    this.sa.expire(now)
    this.settle(now)
  }

  /** Takes all outputs and arms the timer: after every call to `sa`. */
  settle(now: Instant): void {
    if (this.#hasEnded) return
    // Answers leave before what follows from them: data on a new Child SA would overtake the message that makes it.
    const rest: IkeOutput[] = []
    for (let output = this.sa.poll(); output !== undefined; output = this.sa.poll()) {
      if (output.kind === 'send' && output.to !== undefined) this.#send(output.datagram, output.to, now)
      else rest.push(output)
    }
    for (const output of rest) this.#take(output, now)
    if (this.#hasEnded) return
    const deadline = this.sa.deadline()
    if (deadline === undefined) this.#core.timers.cancel(this)
    else this.#core.timers.schedule(this, laterThan(now, deadline.at))
  }

  /** An authentic packet came on one of its Child SAs: hardly ever anything comes out of that. */
  dataHeard(inboundSpi: number, now: Instant): void {
    if (this.#hasEnded) return
    this.sa.dataHeard(inboundSpi, now)
    const output = this.sa.poll()
    if (output === undefined) return
    this.#take(output, now)
    this.settle(now)
  }

  /** Tells the peer and forgets it at once. */
  leave(now: Instant): void {
    if (this.#hasEnded) return
    this.sa.close(now)
    for (let output = this.sa.poll(); output !== undefined; output = this.sa.poll())
      if (output.kind === 'send') this.#send(output.datagram, output.to, now)
    this.association = undefined
    this.end()
  }

  /** Forgets it without a word. */
  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.sa.wipe()
    this.#core.ikeSpis.index(this, this.#spis, [])
    this.#spis = []
    this.#core.timers.cancel(this)
    this.#core.settled(this)
  }

  #follow(arrival: Arrival, bytes: number, now: Instant): void {
    const { from, bare } = arrival
    const place = copyEndpoint(from)
    if (bare) this.#bareAt = place
    else if (sameEndpoint(this.#bareAt, from)) this.#bareAt = undefined
    this.#isAnswered = true
    this.#place = place
    if (this.isAuthenticated) this.association?.heardIke(this, from, bytes, now)
  }

  #take(output: IkeOutput, now: Instant): void {
    if (this.#hasEnded) return
    const { association } = this
    switch (output.kind) {
      case 'send':
        this.#send(output.datagram, output.to, now)
        break
      case 'authenticated':
        this.#authenticated(output, now)
        break
      case 'child-up':
        association?.childUp(this, output.keys, output.replaces, now)
        break
      case 'child-use':
        association?.childUse(output.inboundSpi, now)
        break
      case 'child-down':
        association?.childDown(output.inboundSpi, output.why, now)
        break
      case 'rekeyed':
        this.#index()
        break
      case 'unanswered':
        association?.unanswered(this, output.sinceMs, output.attempts, now)
        break
      case 'configured':
        if (association !== undefined) this.#core.ports.configured?.(association, output)
        break
      case 'moved':
        association?.movedTo(output.to)
        break
      case 'redirected':
        if (association !== undefined) this.#core.ports.redirected?.(association, output.to)
        break
      case 'ticket':
        association?.keepTicket(output.ticket, now)
        break
      case 'failed':
        this.#core.onFailure(output.failure)
        break
      case 'closed':
        this.end()
        association?.ikeClosed(this, output.why, now)
    }
  }

  #authenticated({ peer, grant, initialContact }: Extract<IkeOutput, { kind: 'authenticated' }>, now: Instant): void {
    this.#core.settled(this)
    const association = this.association ?? this.#core.admitted(grant)
    this.association = association
    association.authenticated(this, peer, grant, initialContact, now)
  }

  #send(datagram: Uint8Array, to: Endpoint | undefined, now: Instant): void {
    if (this.quiet && this.#sent > 0 && this.sa.state === 'initiating' && this.#arrival === undefined) return
    const place = to ?? (this.association === undefined ? this.#place : this.association.pathFor(datagram.length))
    if (place === undefined) return
    this.#sent++
    this.sentAt = now
    this.association?.spoke(datagram.length, now)
    sendIke(this.#core.ports, datagram, place, this.#isBare(place), this.association)
  }

  /** The way that the message under way came, else as the last authentic one did. */
  #isBare(to: Endpoint): boolean {
    const arrival = this.#arrival
    if (arrival !== undefined && sameEndpoint(arrival.from, to)) return arrival.bare
    return sameEndpoint(this.#bareAt, to)
  }

  #index(): void {
    const spis = this.sa.localSpis
    this.#core.ikeSpis.index(this, this.#spis, spis)
    this.#spis = spis
  }
}
