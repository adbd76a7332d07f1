import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { type BindingReply, replyToBinding, type StunSeat } from '#shared/wire/stun-answer.ts'

/** Answers a second, in all, to requests shorter than their answer (bare ones, 20 bytes for 32), and to the others. */
const bareRate = 200
const paddedRate = 20_000

/**
 * Answers STUN binding requests (RFC 8489, RFC 5780) with the address that they came from, on the tunnel's own port and those beside it.
 * No answer is longer than its request but the bare IPv4 one, which a global bucket bounds (P-12).
 */
export class StunResponder {
  answered = 0
  refused = 0
  readonly #bare = new TokenBucket(bareRate, bareRate)
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
    return !from.address.includes(':') && this.#bare.take(now)
  }
}
