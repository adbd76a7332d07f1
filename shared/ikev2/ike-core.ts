import type { Deadline } from '#shared/machine.ts'
import { after, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { ExchangeType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { isChildOffer } from './child-negotiation.ts'
import { Children } from './children.ts'
import { awaitsProof, Establishment } from './establishment.ts'
import { enqueue, hasten, pump, repeatDue, repetitionDue, resendAll } from './exchange.ts'
import { explainRefusal } from './explain.ts'
import type { Generation } from './generation.ts'
import type { IkeContext, Initiation } from './ike-context.ts'
import type { IkeOutput } from './ike-output.ts'
import { IkeRenewal } from './ike-renewal.ts'
import { type ClosedWhy, IkeState } from './ike-state.ts'
import { type Executed, Inbound, type PeerRequest } from './inbound.ts'
import { deletesIke, InformationalResponder } from './informational-responder.ts'
import { DeleteIkeTask, ProbeTask } from './informational-tasks.ts'
import type { AcceptedInit } from './init-request.ts'
import { respondMobike, UpdateAddressesTask } from './mobike.ts'
import { hasNotify } from './notify.ts'
import { payloadOf } from './payload-of.ts'
import { RedirectTask, redirected } from './redirect.ts'

/** After this silence the next sign of life makes overdue requests go out at once. */
const QUIET_TIME = seconds(2)

/** The machine behind `IkeSa`: the parts of one association put together, and what the owner asks of them. */
export class IkeCore {
  readonly state: IkeState
  readonly children: Children
  readonly renewal: IkeRenewal
  /** The initiator's SPI of the first message. */
  initiatorSpi = 0n
  readonly #establishment: Establishment
  readonly #informational: InformationalResponder
  readonly #inbound: Inbound

  private constructor(context: IkeContext, initiation: Initiation | undefined, endpoint: Endpoint | undefined, now: Instant) {
    this.state = new IkeState(context, initiation, endpoint, now)
    const giveUp = (at: Instant): void => this.#beginClosing('dead', [], at)
    this.children = new Children(this.state, giveUp)
    this.renewal = new IkeRenewal(this.state, giveUp)
    this.#establishment = new Establishment(this.state, this.children, {
      established: (at) => this.#established(at),
      beginClosing: (why, also, at) => this.#beginClosing(why, also, at),
    })
    this.#informational = new InformationalResponder(this.state, this.children.lifecycle, (next, at) =>
      this.renewal.adopted(next, at),
    )
    this.#inbound = new Inbound(this.state, {
      firstAnswer: (datagram, header, at) => this.#establishment.firstAnswer(datagram, header, at),
      request: (request, generation, at) => this.#execute(request, generation, at),
      heard: (at) => this.heard(at),
    })
  }

  static initiate(context: IkeContext, initiation: Initiation, now: Instant): IkeCore {
    const core = new IkeCore(context, initiation, initiation.endpoint, now)
    core.#establishment.initiate(now)
    core.initiatorSpi = core.state.current.localSpi
    return core
  }

  static respond(context: IkeContext, request: AcceptedInit, now: Instant): IkeCore | undefined {
    const core = new IkeCore(context, undefined, request.from, now)
    core.initiatorSpi = request.header.initiatorSpi
    return core.#establishment.respond(request, now) ? core : undefined
  }

  receive(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    return this.#inbound.receive(datagram, from, now)
  }

  expire(now: Instant): void {
    for (const generation of this.state.generations) generation.fragments.expire(now)
    this.state.timers.expire(now)
    repeatDue(this.state, now)
  }

  deadline(): Deadline | undefined {
    const timer = this.state.timers.deadline()
    const repetition = repetitionDue(this.state)
    if (repetition === undefined || (timer !== undefined && timer.at <= repetition)) return timer
    return { at: repetition, why: `repeat ${this.state.current.active?.name ?? 'the first message'}` }
  }

  /** A sign of life: nothing authentic was heard for a while, and now something is. */
  heard(now: Instant): void {
    const silence = elapsed(this.state.heardAt, now)
    this.state.heardAt = now
    if (silence > QUIET_TIME) hasten(this.state, now)
  }

  probe(now: Instant): void {
    if (this.state.state !== 'established') return
    const { outstanding } = this.state.current.requests
    if (outstanding === undefined && this.state.current.queue.length === 0) enqueue(this.state, new ProbeTask(), now)
  }

  /** Our address has changed. */
  move(now: Instant): void {
    resendAll(this.state, now)
    if (this.state.state !== 'established' || this.state.initiation === undefined) return
    if (!this.state.abilities.mobike) this.probe(now)
    else if (!this.state.current.queue.some((task) => task instanceof UpdateAddressesTask))
      enqueue(this.state, new UpdateAddressesTask(this.state), now)
  }

  redirect(to: string, now: Instant): boolean {
    const { state, initiation, abilities } = this.state
    if (state !== 'established' || initiation !== undefined || !abilities.redirect) return false
    enqueue(this.state, new RedirectTask(to), now)
    return true
  }

  close(now: Instant): void {
    if (this.state.state === 'established') this.#beginClosing('local', [], now)
    else if (this.state.state !== 'closing') this.state.end('local')
  }

  wipe(): void {
    this.#establishment.wipe()
    this.state.wipe()
  }

  #execute({ exchange, payloads: request, from }: PeerRequest, generation: Generation, now: Instant): Executed | undefined {
    if (exchange === ExchangeType.IkeAuth)
      return awaitsProof(this.state) ? this.#establishment.authRequest(request, generation, now) : undefined
    if (exchange === ExchangeType.CreateChildSa) return { answer: this.#createChildSa(request, generation, now) }
    if (exchange !== ExchangeType.Informational) return undefined
    return this.#inform(request, from, generation, now)
  }

  #inform(request: readonly IkePayload[], from: Endpoint, generation: Generation, now: Instant): Executed {
    const deletes = this.#informational.respond(request, now)
    const { payloads, task } = respondMobike(this.state, request, from)
    const gateway = this.state.initiation === undefined ? undefined : redirected(request)
    if (gateway !== undefined) this.state.emit({ kind: 'redirected', to: gateway })
    const answer = [...deletes, ...payloads]
    const refusal = this.state.initiation === undefined && hasNotify(request, NotifyType.AuthenticationFailed)
    if (refusal) this.state.fail(explainRefusal('auth', NotifyType.AuthenticationFailed, this.state))
    // An initiator that does not believe us need not say that the IKE SA is gone with that (RFC 7296 §2.21.2).
    if (refusal || deletesIke(request)) return { answer, afterwards: () => this.#informational.ikeDeleted(generation, now) }
    return task === undefined ? { answer } : { answer, afterwards: () => enqueue(this.state, task, now) }
  }

  #createChildSa(request: readonly IkePayload[], generation: Generation, now: Instant): IkePayload[] {
    const sa = payloadOf(request, 'sa')
    const isRekeyOfIke = sa !== undefined && !isChildOffer(sa)
    return isRekeyOfIke ? this.renewal.respond(request, generation, now) : this.children.respond(request, generation, now)
  }

  #established(now: Instant): void {
    this.renewal.beginLifetime(now)
    this.#watch(now)
  }

  /** Asks for a sign of life where there has been none for the configured time. */
  #watch(now: Instant): void {
    const { livenessTime } = this.state.context.settings
    if (livenessTime === undefined) return
    const due = after(this.state.heardAt, livenessTime)
    if (now >= due) this.probe(now)
    this.state.timers.set('liveness', now >= due ? after(now, livenessTime) : due, (at) => this.#watch(at))
  }

  #beginClosing(why: ClosedWhy, also: readonly IkePayload[], now: Instant): void {
    const { state } = this
    if (state.state === 'closing' || state.state === 'closed') return
    state.state = 'closing'
    state.closingWhy = why
    state.timers.clear()
    const { current } = state
    for (const task of current.queue.splice(0)) task.abandoned()
    current.queue.push(new DeleteIkeTask(state, also))
    pump(state, current, now)
  }

  poll(): IkeOutput | undefined {
    return this.state.poll()
  }
}
