import { toHex } from '#shared/bytes/hex.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { IkeSa } from '#shared/ikev2/ike-sa.ts'
import { readInitRequest } from '#shared/ikev2/init-request.ts'
import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import { copyEndpoint } from '#shared/wire/endpoint.ts'
import { COOKIE_DEMAND_LENGTH, writeCookieDemand } from './cookie-demand.ts'
import type { EspCore } from './esp-core.ts'
import type { EspEndpointOptions } from './esp-options.ts'
import { cookieOf, initiatorSpiOf, nonceOf } from './first-message.ts'
import { LoadMeter, SourceLimiter } from './handshake-load.ts'
import { type Arrival, HeldIkeSa } from './held-ike-sa.ts'
import { IkeCookies } from './ike-cookie.ts'

/** First messages a second above which their senders must show a cookie: half of the full handshakes that one core answers. */
const LOAD_PER_SECOND = 200
/** Half-open IKE SAs at which cookies are asked for. */
const HALF_OPEN_LOAD = 100
const HALF_OPEN_LIMIT = 1_000
/** Refused first messages a second that are explained and recorded, and how many at once; the rest is answered all the same. */
const ACCOUNTS = { perSecond: 5, burst: 50 }
/** One demand is under way at a time. */
const demand = new Uint8Array(COOKIE_DEMAND_LENGTH)

/**
 * Where strangers knock. Each step costs more than the one before, and nobody is sent more bytes than he sent (P-10, P-12):
 *
 *   repeated? answered by its half-open IKE SA -> load? cookie (stateless) -> often? -> decode, choose -> answer longer than the
 *   request? cookie -> key exchange, answer, half-open until IKE_AUTH
 */
export class IkeDoor {
  readonly #core: EspCore
  readonly #underLoad: EspEndpointOptions['underLoad']
  readonly #limit: number
  readonly #cookies: IkeCookies
  readonly #load = new LoadMeter(LOAD_PER_SECOND)
  readonly #sources = new SourceLimiter()
  readonly #accounts = new TokenBucket(ACCOUNTS.perSecond, ACCOUNTS.burst)
  /** By initiator's SPI and source, oldest first. */
  readonly #halfOpen = new Map<string, HeldIkeSa>()
  readonly #keys = new Map<HeldIkeSa, string>()

  constructor(
    core: EspCore,
    { underLoad, halfOpenLimit = HALF_OPEN_LIMIT }: Pick<EspEndpointOptions, 'underLoad' | 'halfOpenLimit'>,
  ) {
    this.#core = core
    this.#underLoad = underLoad
    this.#limit = halfOpenLimit
    this.#cookies = new IkeCookies(core.suite)
  }

  /** IKE SAs whose peers have not proven who they are. */
  get halfOpen(): number {
    return this.#halfOpen.size
  }

  /** A first message (`isFirstMessage`). Returns 0 or a negative DropReason. */
  knock(message: Uint8Array, arrival: Arrival, now: Instant): number {
    const { from } = arrival
    const spi = initiatorSpiOf(message)
    const key = `${toHex(spi)}|${from.address}|${from.port}`
    const known = this.#halfOpen.get(key)
    if (known !== undefined && cookieOf(message) === undefined) return known.receive(message, arrival, now)
    this.#load.note(now)
    const proof = this.#proofOf(message, spi, arrival, now)
    if (proof !== 'shown' && this.#isLoaded(now)) {
      this.#demand(message, spi, arrival, now)
      return proof === 'wrong' ? DropReason.BadCookie : DropReason.UnderLoad
    }
    if (known !== undefined) return known.receive(message, arrival, now)
    if (this.#isLoaded(now) && !this.#sources.admits(from, now)) return DropReason.RateLimited
    return this.#answer(message, key, proof === 'shown', arrival, now)
  }

  /** It is authenticated, or has ended. */
  settled(held: HeldIkeSa): void {
    const key = this.#keys.get(held)
    if (key === undefined) return
    this.#keys.delete(held)
    this.#halfOpen.delete(key)
  }

  #answer(message: Uint8Array, key: string, proven: boolean, arrival: Arrival, now: Instant): number {
    const { context } = this.#core
    const verdict = readInitRequest(context, message, arrival.from)
    if (verdict.kind === 'dropped') return verdict.reason
    if (verdict.kind === 'answered') {
      if (verdict.failure !== undefined && this.#accounts.take(now)) this.#core.onFailure(verdict.failure())
      if (verdict.reply.length <= message.length) this.#core.reply(verdict.reply, arrival)
      return DropReason.UnknownPeer
    }
    if (verdict.request.replyLength > message.length && !proven) {
      this.#demand(message, initiatorSpiOf(message), arrival, now)
      return DropReason.AmplificationLimit
    }
    const sa = IkeSa.respond(context, verdict.request, now)
    if (sa === undefined) return DropReason.LowOrderPoint
    const place = copyEndpoint(arrival.from)
    const held = new HeldIkeSa(this.#core, sa, { initiator: false, proven, place, bare: arrival.bare })
    this.#halfOpen.set(key, held)
    this.#keys.set(held, key)
    if (this.#halfOpen.size > this.#limit) this.#evict(held)
    held.settle(now)
    return 0
  }

  /** The oldest that has shown no cookie; the oldest of all where all have. */
  #evict(newest: HeldIkeSa): void {
    let leaving: HeldIkeSa | undefined
    for (const held of this.#halfOpen.values()) {
      if (held === newest) continue
      leaving ??= held
      if (held.proven) continue
      leaving = held
      break
    }
    leaving?.end()
  }

  #isLoaded(now: Instant): boolean {
    return this.#underLoad?.(now) ?? (this.#halfOpen.size >= HALF_OPEN_LOAD || this.#load.isLoaded(now))
  }

  #proofOf(message: Uint8Array, spi: Uint8Array, { from }: Arrival, now: Instant): 'shown' | 'absent' | 'wrong' {
    const cookie = cookieOf(message)
    const nonce = cookie === undefined ? undefined : nonceOf(message)
    if (cookie === undefined || nonce === undefined) return 'absent'
    return this.#cookies.verify(cookie, spi, nonce, from, now) ? 'shown' : 'wrong'
  }

  /** Asks for a cookie, unless that would say more than the stranger did. */
  #demand(message: Uint8Array, spi: Uint8Array, arrival: Arrival, now: Instant): void {
    const nonce = nonceOf(message)
    if (nonce === undefined || message.length < COOKIE_DEMAND_LENGTH) return
    writeCookieDemand(message, this.#cookies.make(spi, nonce, arrival.from, now), demand)
    this.#core.reply(demand, arrival)
  }
}
