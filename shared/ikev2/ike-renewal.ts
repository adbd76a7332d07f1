import { after, type Instant } from '#shared/time/instant.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { enqueue, enqueueFirst } from './exchange.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import { RekeyIkeResponder } from './rekey-ike-responder.ts'
import { type IkeRekeyActions, RekeyIkeTask } from './rekey-ike-task.ts'
import { RetryLater } from './retry-later.ts'

const REKEY = 'rekey IKE SA'
const END = 'end of IKE SA'

/** When the IKE SA is renewed, and what becomes of it. */
export class IkeRenewal implements IkeRekeyActions {
  readonly #state: IkeState
  readonly #responder: RekeyIkeResponder
  readonly #retry: RetryLater
  readonly #giveUp: (now: Instant) => void

  constructor(state: IkeState, giveUp: (now: Instant) => void) {
    this.#state = state
    this.#giveUp = giveUp
    this.#retry = new RetryLater(state)
    this.#responder = new RekeyIkeResponder(state, (next, now) => this.adopted(next, now))
  }

  /** An IKE SA is as young as can be from now on. */
  beginLifetime(now: Instant): void {
    const { settings } = this.#state.context
    this.#state.timers.set(REKEY, after(now, this.#state.softened(settings.ikeSoftTime)), (at) => this.rekey(at))
    this.#state.timers.set(END, after(now, settings.ikeHardTime), (at) => this.#giveUp(at))
  }

  rekey(now: Instant): void {
    const { current, state } = this.#state
    if (state !== 'established' || [current.active, ...current.queue].some((task) => task instanceof RekeyIkeTask)) return
    enqueue(this.#state, new RekeyIkeTask(this.#state, this), now)
  }

  adopted(next: Generation, now: Instant): void {
    this.#retry.succeeded()
    this.#state.timers.cancel(`${REKEY} again`)
    this.#state.adopt(next)
    this.beginLifetime(now)
  }

  rekeyAgain(group: number): void {
    enqueueFirst(this.#state, new RekeyIkeTask(this.#state, this, group))
  }

  rekeyLater(now: Instant): void {
    if (!this.#retry.schedule(`${REKEY} again`, now, (at) => this.rekey(at))) this.#giveUp(now)
  }

  respond(request: readonly IkePayload[], generation: Generation, now: Instant): IkePayload[] {
    return this.#responder.respond(request, generation, now)
  }
}
