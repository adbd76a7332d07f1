import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { answerBinding } from '#shared/wire/stun-binding.ts'

/** Answers a second, in all, to requests shorter than their answer (bare ones, 20 bytes for 32), and to the others. */
const bareRate = 200
const paddedRate = 20_000

/**
 * Answers STUN binding requests (RFC 8489) with the address that they came from, on the tunnel's own port. No answer is longer than its
 * request but the bare IPv4 one, which a global bucket bounds (P-12).
 */
export class StunResponder {
  answered = 0
  refused = 0
  readonly #bare = new TokenBucket(bareRate, bareRate)
  readonly #padded = new TokenBucket(paddedRate, paddedRate)

  /** The answer, or undefined where silence is right. */
  answer(request: Uint8Array, from: Endpoint, now: Instant): Uint8Array | undefined {
    const answer = answerBinding(request, from)
    if (answer === undefined || !this.#affords(answer.length - request.length, from, now)) {
      this.refused++
      return undefined
    }
    this.answered++
    return answer
  }

  #affords(growth: number, from: Endpoint, now: Instant): boolean {
    if (growth <= 0) return this.#padded.take(now)
    return !from.address.includes(':') && this.#bare.take(now)
  }
}
