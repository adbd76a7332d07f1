import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { type BindingReply, replyToBinding, type StunSeat } from '#shared/wire/stun-answer.ts'

/**
 * Bytes a second by which all answers together may exceed their requests: 200 of the 12 that a bare question of 20 bytes gets more than it
 * has. With OTHER-ADDRESS it is 24, and so half as many.
 */
const growthRate = 2_400
/** Answers a second, in all, to requests that are no shorter. */
const paddedRate = 20_000

/**
 * Answers STUN binding requests (RFC 8489, RFC 5780) with the address that they came from, on the tunnel's own port and those beside it.
 * No answer is longer than its request but the bare IPv4 one, which a global bucket bounds (P-12).
 */
export class StunResponder {
  answered = 0
  refused = 0
  readonly #growth = new TokenBucket(growthRate, growthRate)
  readonly #padded = new TokenBucket(paddedRate, paddedRate)

  /** The answer, where it goes to and by which socket; undefined where silence is right. `seat`: the socket that was asked. */
  answer(request: Uint8Array, from: Endpoint, now: Instant, seat?: StunSeat): BindingReply | undefined {
    const reply = replyToBinding(request, from, seat)
    if (reply === undefined || !this.#affords(reply.datagram.length - request.length, from, now)) {
      this.refused++
      return undefined
    }
    this.answered++
    return reply
  }

  #affords(growth: number, from: Endpoint, now: Instant): boolean {
    if (growth <= 0) return this.#padded.take(now)
    return !from.address.includes(':') && this.#growth.take(now, growth)
  }
}
