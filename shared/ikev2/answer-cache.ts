import type { Endpoint } from '#shared/wire/endpoint.ts'

/** What a request's message ID makes of it. */
export type RequestStanding = 'fresh' | 'repeated' | 'out-of-window'

/**
 * The peer's requests in one IKE SA: a window of one (RFC 7296 §2.3). Each message ID is executed once; a request that comes again gets
 * the same bytes as before, and the last answer is forgotten when the next request is executed (P-28).
 */
export class AnswerCache {
  #expected = 0
  #answer: { readonly datagrams: readonly Uint8Array[]; readonly to: Endpoint } | undefined

  /** The message ID of the next request that is executed. */
  get expected(): number {
    return this.#expected
  }

  standingOf(messageId: number): RequestStanding {
    if (messageId === this.#expected) return 'fresh'
    return messageId === this.#expected - 1 && this.#answer !== undefined ? 'repeated' : 'out-of-window'
  }

  /** The expected request has been executed and is answered so. */
  answered(datagrams: readonly Uint8Array[], to: Endpoint): void {
    this.#answer = { datagrams, to }
    this.#expected++
  }

  /** The last answer, and where it went. */
  get answer(): { readonly datagrams: readonly Uint8Array[]; readonly to: Endpoint } | undefined {
    return this.#answer
  }
}
