import { equalPublic } from '#shared/bytes/equal.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { ExchangeType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { explainRefusal } from './explain.ts'
import type { IkeState } from './ike-state.ts'
import { natDetection } from './init-answer.ts'
import { findError, findNotify, hasNotify, notify } from './notify.ts'
import type { Task } from './task.ts'

/**
 * MOBIKE (RFC 4555): the end that began the association says that its address has changed, and the other one makes sure that it really
 * receives there before anything follows. Only addresses change; no key, no Child SA.
 *
 *   initiator                                        responder
 *   UPDATE_SA_ADDRESSES, NAT detection, COOKIE2  ──>
 *                                                <──  NAT detection, COOKIE2
 *                                                <──  COOKIE2, to the new address
 *   COOKIE2                                      ──>  moved
 */

/** Of a COOKIE2 of ours, bytes (8 to 64 are allowed, §4.2.5). */
const COOKIE_LENGTH = 16

/** Tells the peer that we are where this comes from. */
export class UpdateAddressesTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly name = 'address update'
  readonly #state: IkeState

  constructor(state: IkeState) {
    this.#state = state
  }

  begin(): IkePayload[] {
    const { suite } = this.#state.context
    return [notify(NotifyType.UpdateSaAddresses), ...natDetection(suite), notify(NotifyType.Cookie2, suite.random(COOKIE_LENGTH))]
  }

  answered(answer: readonly IkePayload[]): void {
    const error = findError(answer)
    if (error !== undefined) this.#state.fail(explainRefusal('mobike', error.type, this.#state))
  }

  abandoned(): boolean {
    return true
  }
}

/** Return routability: a peer that moved must show that it receives at its new address (§3.7). */
class RoutabilityTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly name = 'proof of a new address'
  readonly to: Endpoint
  readonly #state: IkeState
  readonly #cookie: Uint8Array

  constructor(state: IkeState, to: Endpoint) {
    this.#state = state
    this.to = to
    this.#cookie = state.context.suite.random(COOKIE_LENGTH)
  }

  begin(): IkePayload[] | undefined {
    return this.#state.candidate === this.to ? [notify(NotifyType.Cookie2, this.#cookie)] : undefined
  }

  answered(answer: readonly IkePayload[]): void {
    const echoed = findNotify(answer, NotifyType.Cookie2)
    if (this.#state.candidate !== this.to || echoed === undefined || !equalPublic(echoed.data, this.#cookie)) return
    this.#state.candidate = undefined
    this.#state.emit({ kind: 'moved', to: this.to })
  }

  abandoned(): boolean {
    return true
  }
}

/** What an INFORMATIONAL request from `from` says of addresses, answered; and the task that follows, if one does. */
export function respondMobike(
  state: IkeState,
  request: readonly IkePayload[],
  from: Endpoint,
): { readonly payloads: IkePayload[]; readonly task: Task | undefined } {
  const cookie = findNotify(request, NotifyType.Cookie2)
  const echo = cookie === undefined ? [] : [notify(NotifyType.Cookie2, cookie.data.slice())]
  const asksNat = hasNotify(request, NotifyType.NatDetectionSourceIp)
  const detection = asksNat ? natDetection(state.context.suite) : []
  if (!hasNotify(request, NotifyType.UpdateSaAddresses)) return { payloads: [...echo, ...detection], task: undefined }
  // Ours is always an address behind a NAT (DESIGN D2); and who answers the association does not choose its addresses (§3.5).
  if (hasNotify(request, NotifyType.NoNatsAllowed))
    return { payloads: [...echo, notify(NotifyType.UnexpectedNatDetected)], task: undefined }
  if (state.initiation !== undefined) return { payloads: [...echo, notify(NotifyType.UnacceptableAddresses)], task: undefined }
  state.candidate = { ...from }
  return { payloads: [...echo, ...detection], task: new RoutabilityTask(state, state.candidate) }
}
