import { DropReason } from '#shared/drop-reason.ts'
import type { HandshakeState } from '#shared/noise/handshake-state.ts'
import { after, type Duration, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'
import type { CookieReply } from '#shared/wire/wireguard-cookie.ts'
import { INITIATION_LENGTH } from '#shared/wire/wireguard-initiation.ts'
import type { Response } from '#shared/wire/wireguard-response.ts'
import { openCookie, putMacs } from './cookie.ts'
import type { EndpointCore } from './endpoint-core.ts'
import { readResponse, splitKeys, writeInitiation } from './handshake.ts'
import type { PeerKeys } from './peer-keys.ts'
import { type RetryMood, retryDelay } from './retry-schedule.ts'
import type { WireguardAssociation } from './wireguard-association.ts'
import {
  COOKIE_REFRESH_TIME,
  EAGER_RETRY,
  INITIATION_SPACING,
  OUTSTANDING,
  REKEY_ATTEMPT_TIME,
  REKEY_TIMEOUT,
  RETRY_JITTER,
} from './wireguard-constants.ts'

/** One initiation that may still be answered. */
export class Attempt {
  readonly owner: WireguardAssociation
  readonly local: number
  readonly handshake: HandshakeState
  readonly mac1: Uint8Array
  readonly sentAt: Instant
  /** A cookie reply is taken once for each message. */
  cookieTaken = false

  constructor(owner: WireguardAssociation, local: number, handshake: HandshakeState, mac1: Uint8Array, now: Instant) {
    this.owner = owner
    this.local = local
    this.handshake = handshake
    this.mac1 = mac1
    this.sentAt = now
  }

  wipe(): void {
    this.handshake.wipe()
  }
}

/** One spell of asking: from the first initiation to the last one that may still be answered. */
interface Round {
  mood: RetryMood
  /** When asking began; when the schedule began anew; when somebody last had something to say. */
  startedAt: Instant
  scheduledFrom: Instant
  demandedAt: Instant
  /** Initiations sent since `scheduledFrom`, and when the last one was. */
  attempts: number
  sentAt: Instant | undefined
  /** When the next one goes out; undefined once answered: then the round only waits for stragglers until `settledBy`. */
  nextAt: Instant | undefined
  settledBy: Instant | undefined
  /** One initiation was sent that nothing repeats, and is not answered yet. */
  called: boolean
}

/**
 * The asking half of an association: sends initiations on the retry schedule, up to four outstanding, each with its own index,
 * ephemeral key and timestamp, and takes a response to any of them.
 */
export class Initiator {
  readonly #core: EndpointCore
  readonly #owner: WireguardAssociation
  readonly #keys: PeerKeys
  /** Never stop asking: this end always wants the association. */
  readonly #forever: boolean
  #round: Round | undefined
  #outstanding: Attempt[] = []
  #cookie: Uint8Array | undefined
  #cookieAt: Instant | undefined
  #roundTrip: Duration | undefined

  constructor(core: EndpointCore, owner: WireguardAssociation, keys: PeerKeys, forever: boolean) {
    this.#core = core
    this.#owner = owner
    this.#keys = keys
    this.#forever = forever
  }

  /** Whether an answer is awaited. */
  get isAsking(): boolean {
    return this.#round?.nextAt !== undefined
  }

  /** Round trip of the last answered initiation. */
  get roundTrip(): Duration | undefined {
    return this.#roundTrip
  }

  get due(): Instant | undefined {
    return this.#round?.nextAt ?? this.#round?.settledBy
  }

  get why(): string {
    return this.isAsking ? `initiation ${this.#round!.attempts + 1}` : 'late responses no longer awaited'
  }

  /** The cookie to bind the next message with, while it is fresh. */
  cookie(now: Instant): Uint8Array | undefined {
    if (this.#cookieAt !== undefined && elapsed(this.#cookieAt, now) >= COOKIE_REFRESH_TIME) this.#cookie = undefined
    return this.#cookie
  }

  /** Somebody has something to say. Starts asking, after `delay`; where asking has become rare, asks at once. */
  want(mood: RetryMood, now: Instant, delay: Duration = milliseconds(0)): void {
    const round = this.#round
    if (round?.nextAt === undefined) {
      this.#startRound(mood, now)
      if (delay > 0) this.#round!.nextAt = after(now, delay)
      else this.#send(now)
      return
    }
    round.demandedAt = now
    if (round.sentAt !== undefined && elapsed(round.sentAt, now) > REKEY_TIMEOUT + RETRY_JITTER) this.#send(now)
  }

  /** One initiation, unless some are on their way already. Nothing repeats it: whoever calls many peers paces that himself. */
  call(now: Instant): void {
    if (this.isAsking) return
    this.want('calm', now)
    if (this.#round === undefined) return
    this.#round.called = true
    this.#round.nextAt = undefined
    this.#round.settledBy = after(now, REKEY_TIMEOUT)
  }

  /** The owner has reason to ask now (a new network, another endpoint): sends at once and begins the eager schedule anew. */
  restart(now: Instant): void {
    const round = this.#round
    if (round?.nextAt === undefined) {
      this.want('eager', now)
      return
    }
    round.mood = 'eager'
    round.demandedAt = now
    if (round.sentAt !== undefined && elapsed(round.sentAt, now) < INITIATION_SPACING) return
    round.scheduledFrom = now
    round.attempts = 0
    this.#send(now)
  }

  /** The peer asks too: gives its handshake a moment before asking again. */
  yieldTo(now: Instant): void {
    const round = this.#round
    if (round?.nextAt === undefined) return
    const later = after(now, this.#patience())
    if (later > round.nextAt) round.nextAt = later
  }

  expire(now: Instant): void {
    const round = this.#round
    if (round === undefined) return
    if (round.nextAt === undefined) {
      if (now >= round.settledBy!) this.stop()
      return
    }
    if (now < round.nextAt) return
    if (!this.#forever && elapsed(round.demandedAt, now) >= REKEY_ATTEMPT_TIME) {
      this.stop()
      this.#owner.gaveUp()
      return
    }
    const sinceMs = elapsed(round.startedAt, now)
    if (sinceMs >= REKEY_TIMEOUT)
      this.#core.ports.event({ kind: 'unanswered', association: this.#owner, sinceMs, attempts: round.attempts })
    if (this.#round === round && round.nextAt !== undefined && now >= round.nextAt) this.#send(now)
  }

  /**
   * A response to one of the outstanding initiations: the session's sending and receiving key, which the caller wipes, and whether
   * it is the first answer of this round. Undefined as reason means authentic.
   */
  answered(attempt: Attempt, response: Response, now: Instant): Answer | DropReason {
    const refused = readResponse(attempt.handshake, this.#keys.psk, response)
    if (refused !== 0) return refused
    const [sendKey, receiveKey] = splitKeys(attempt.handshake)
    this.#roundTrip = elapsed(attempt.sentAt, now)
    const round = this.#round
    const first = this.isAsking || round?.called === true
    if (round !== undefined) {
      round.called = false
      round.nextAt = undefined
      round.settledBy ??= after(now, milliseconds(Math.max(REKEY_TIMEOUT, 2 * this.#roundTrip)))
    }
    // Older initiations than the answered one are settled; a younger one may have replaced its session at the responder.
    const at = this.#outstanding.indexOf(attempt)
    for (const old of this.#outstanding.splice(0, at + 1)) this.#forget(old, old === attempt)
    return { sendKey, receiveKey, first }
  }

  /** A cookie reply to one of our messages, of which `mac1` was the MAC. */
  takeCookie(mac1: Uint8Array, reply: CookieReply, now: Instant): boolean {
    const cookie = openCookie(this.#core.local.suite, this.#keys.publicKey, mac1, reply)
    if (cookie === undefined) return false
    this.#cookie = cookie
    this.#cookieAt = now
    return true
  }

  /** Ends the round and wipes every handshake under way. */
  stop(): void {
    for (const attempt of this.#outstanding) this.#forget(attempt, false)
    this.#outstanding = []
    this.#round = undefined
  }

  #startRound(mood: RetryMood, now: Instant): void {
    this.#round = {
      mood,
      startedAt: now,
      scheduledFrom: now,
      demandedAt: now,
      attempts: 0,
      sentAt: undefined,
      nextAt: now,
      settledBy: undefined,
      called: false,
    }
  }

  #send(now: Instant): void {
    const round = this.#round!
    round.attempts++
    round.sentAt = now
    const silentFor = elapsed(round.scheduledFrom, now)
    round.nextAt = after(now, retryDelay(round.mood, round.attempts, silentFor, this.#roundTrip, this.#core.dice))
    const to = this.#owner.pathForInitiation(INITIATION_LENGTH)
    if (to === undefined) return
    const message = this.#write(now)
    if (message === undefined) {
      // The peer's key has a small order: nothing may leave, now or later.
      this.#core.counters.count(DropReason.LowOrderPoint)
      this.stop()
      return
    }
    this.#owner.transmit(message, to, now)
  }

  #write(now: Instant): Uint8Array | undefined {
    const { local, indexes } = this.#core
    const staticShared = this.#keys.staticShared
    if (staticShared === undefined) return undefined
    const message = new Uint8Array(INITIATION_LENGTH)
    const sender = this.#core.pickIndex(this.#keys.hex)
    const peer = this.#keys.publicKey
    const timestamp = this.#core.nextTimestamp()
    const handshake = writeInitiation(local, { sender, peer, staticShared, timestamp }, message)
    if (handshake === undefined) return undefined
    const mac1 = putMacs(local.suite, message, peer, this.cookie(now)).slice()
    const attempt = new Attempt(this.#owner, sender, handshake, mac1, now)
    indexes.put(sender, attempt)
    this.#outstanding.push(attempt)
    if (this.#outstanding.length > OUTSTANDING) this.#forget(this.#outstanding.shift()!, false)
    return message
  }

  #forget(attempt: Attempt, keepIndex: boolean): void {
    attempt.wipe()
    if (!keepIndex) this.#core.indexes.release(attempt.local)
  }

  #patience(): Duration {
    return milliseconds(Math.max(EAGER_RETRY, 2 * (this.#roundTrip ?? 0)))
  }
}

export interface Answer {
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
  /** The first answer of this round: the association is (re-)established by it. */
  readonly first: boolean
}
