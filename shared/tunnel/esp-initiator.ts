import { IkeSa } from '#shared/ikev2/ike-sa.ts'
import { Backoff } from '#shared/time/backoff.ts'
import { after, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from './association.ts'
import { eagerSettings } from './eager-settings.ts'
import type { EspAssociation } from './esp-association.ts'
import type { EspCore } from './esp-core.ts'
import type { EspPeerOptions } from './esp-options.ts'
import { HeldIkeSa } from './held-ike-sa.ts'

/** The owner's word begins another attempt where this one was silent for so long: repeats come each second while they are of use. */
const SPACING: Duration = seconds(2)
/** So long an attempt that nothing repeats is kept for its answer. */
const CALL_TIME: Duration = seconds(5)
/** After so long without a message of ours, a packet that wants out asks at once; an attempt that was answered is given as long. */
const RARE: Duration = seconds(5)
/** Without new demand asking ends after this, unless the owner always wants the association. */
const ATTEMPT_TIME: Duration = seconds(90)
/** An attempt that crossed with the peer's own is given so long to end, since the peer may have completed it. */
const NEEDLESS_TIME: Duration = seconds(10)
/** A peer that took its leave is asked again after up to this, so that a fleet does not come back in one moment. */
const RETURN_SPREAD: Duration = seconds(2)
/** After a refusal. */
const REFUSED_BASE: Duration = seconds(2)
const REFUSED_CAP: Duration = seconds(60)

/**
 * The asking half of an association: at most one IKE SA under way, which repeats its messages by itself. One at a time, because a peer
 * that completed two would keep the younger, and we perhaps the older one.
 */
export class EspInitiator {
  readonly #core: EspCore
  readonly #owner: EspAssociation
  #initiation: EspPeerOptions['initiation'] | undefined
  /** Never stop asking. */
  #forever = false
  #attempt: HeldIkeSa | undefined
  /** Where the attempt was begun towards. */
  #asked: Endpoint | undefined
  #begunAt: Instant | undefined
  #demandedAt: Instant | undefined
  /** When to ask again after a refusal. */
  #nextAt: Instant | undefined
  /** When an attempt ends that the peer's own has made needless. */
  #needlessBy: Instant | undefined
  readonly #backoff: Backoff

  constructor(core: EspCore, owner: EspAssociation) {
    this.#core = core
    this.#owner = owner
    this.#backoff = new Backoff({ base: REFUSED_BASE, cap: REFUSED_CAP }, core.dice)
  }

  /** What is asked for, from the next attempt on. */
  set(initiation: EspPeerOptions['initiation'], forever: boolean): void {
    this.#initiation = initiation
    this.#forever = forever
  }

  get initiation(): EspPeerOptions['initiation'] | undefined {
    return this.#initiation
  }

  get isAsking(): boolean {
    return this.#attempt !== undefined
  }

  get due(): Instant | undefined {
    if (this.#attempt === undefined) return this.#nextAt
    if (this.#needlessBy !== undefined) return this.#needlessBy
    if (this.#attempt.quiet) return after(this.#begunAt!, CALL_TIME)
    return this.#forever ? undefined : after(this.#demandedAt!, ATTEMPT_TIME)
  }

  get why(): string {
    return this.#attempt === undefined ? 'IKE_SA_INIT after a refusal' : 'asking ends'
  }

  /** Somebody has something to say. Starts asking; where asking has become rare, asks at once. */
  want(now: Instant): void {
    this.#demandedAt = now
    if (this.#attempt === undefined) {
      if (this.#nextAt === undefined) this.#begin(now)
      return
    }
    this.#attempt.quiet = false
    if (this.#isSilentFor(RARE, now)) this.#begin(now)
  }

  /** The owner has reason to ask now: a new network, another endpoint. */
  restart(now: Instant): void {
    this.#demandedAt = now
    this.#backoff.reset()
    const attempt = this.#attempt
    if (attempt !== undefined) attempt.quiet = false
    const isElsewhere = !sameEndpoint(this.#asked, this.#owner.endpoint)
    // A long round trip must not starve for the owner's impatience: what is being answered goes on.
    if (attempt === undefined || isElsewhere || this.#isSilentFor(attempt.isAnswered ? RARE : SPACING, now)) this.#begin(now)
  }

  /** One message, unless some are on their way already, and nothing repeats it. */
  call(now: Instant): void {
    if (this.#attempt !== undefined) return
    this.#begin(now, true)
  }

  /** The attempt has become an IKE SA of the association, or one of the peer's making has, which makes it needless. */
  answered(held: HeldIkeSa, now: Instant): void {
    this.#backoff.reset()
    this.#nextAt = undefined
    if (held === this.#attempt) {
      this.#attempt = undefined
      this.#needlessBy = undefined
    } else if (this.#attempt !== undefined) this.#needlessBy = after(now, NEEDLESS_TIME)
  }

  /** An IKE SA has ended; returns whether it was the attempt. It is made again later where somebody wants it. */
  closed(held: HeldIkeSa, now: Instant): boolean {
    if (held !== this.#attempt) return false
    this.#attempt = undefined
    if (this.#isWanted(now)) this.#nextAt = after(now, this.#backoff.next())
    else this.#owner.gaveUp()
    return true
  }

  /** The last IKE SA has ended: one that is always wanted is asked for again. `isPolite`: the peer said so. */
  lost(isPolite: boolean, now: Instant): void {
    if (!this.#forever || this.#attempt !== undefined || this.#nextAt !== undefined) return
    if (isPolite) this.#nextAt = after(now, milliseconds(this.#core.dice() * RETURN_SPREAD))
    else this.want(now)
  }

  expire(now: Instant): void {
    if (this.#attempt === undefined) {
      if (this.#nextAt === undefined || now < this.#nextAt) return
      this.#nextAt = undefined
      if (this.#isWanted(now)) this.#begin(now)
      return
    }
    const due = this.due
    if (due === undefined || now < due) return
    const isNeedless = this.#needlessBy !== undefined
    this.stop()
    if (!isNeedless) this.#owner.gaveUp()
  }

  stop(): void {
    this.#attempt?.end()
    this.#attempt = undefined
    this.#nextAt = undefined
    this.#needlessBy = undefined
  }

  #begin(now: Instant, quiet = false): void {
    const initiation = this.#initiation
    const endpoint = this.#owner.endpoint
    if (initiation === undefined || endpoint === undefined) return
    this.stop()
    this.#begunAt = now
    this.#asked = endpoint
    this.#demandedAt ??= now
    const ticket = this.#owner.takeTicket(now)
    const first = { endpoint, initialContact: !this.#owner.hasLived }
    let held: HeldIkeSa | undefined
    const { context } = this.#core
    const settings = eagerSettings(context.settings, () => (held?.isAuthenticated ? undefined : (held?.sent ?? 0)))
    const sa = IkeSa.initiate({ ...context, settings }, { ...initiation, ...first, ...(ticket && { ticket }) }, now)
    held = new HeldIkeSa(this.#core, sa, { initiator: true, proven: true, place: endpoint, bare: false })
    held.association = this.#owner
    held.quiet = quiet
    this.#attempt = held
    held.settle(now)
  }

  #isSilentFor(span: Duration, now: Instant): boolean {
    const sentAt = this.#attempt?.sentAt
    return sentAt === undefined || elapsed(sentAt, now) >= span
  }

  #isWanted(now: Instant): boolean {
    return this.#forever || (this.#demandedAt !== undefined && elapsed(this.#demandedAt, now) < ATTEMPT_TIME)
  }
}
