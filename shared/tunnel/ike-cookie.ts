import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from './association.ts'

/** Bytes. */
export const IKE_COOKIE_LENGTH = 16
const SECRET_LENGTH = 32
/** How old a secret may grow; cookies of the one before are good as long again. */
const SECRET_TIME: Duration = seconds(120)
const text = new TextEncoder()

/**
 * Stateless cookies (RFC 7296 §2.6): a MAC over the initiator's address, port, SPI and nonce, so that whoever shows one has received it
 * there, for this very request. Nothing is kept for those to whom one is sent.
 */
export class IkeCookies {
  readonly #suite: Suite
  #secret: Uint8Array
  #previous: Uint8Array | undefined
  #madeAt: Instant | undefined

  constructor(suite: Suite) {
    this.#suite = suite
    this.#secret = suite.random(SECRET_LENGTH)
  }

  /** `spi`: the initiator's, 8 bytes as they came. */
  make(spi: Uint8Array, nonce: Uint8Array, from: Endpoint, now: Instant): Uint8Array {
    this.#rotate(now)
    return this.#mac(this.#secret, spi, nonce, from)
  }

  verify(cookie: Uint8Array, spi: Uint8Array, nonce: Uint8Array, from: Endpoint, now: Instant): boolean {
    this.#rotate(now)
    if (equalConstantTime(cookie, this.#mac(this.#secret, spi, nonce, from))) return true
    return this.#previous !== undefined && equalConstantTime(cookie, this.#mac(this.#previous, spi, nonce, from))
  }

  #mac(secret: Uint8Array, spi: Uint8Array, nonce: Uint8Array, { address, port }: Endpoint): Uint8Array {
    return this.#suite.blake2s(IKE_COOKIE_LENGTH, secret, spi, nonce, text.encode(`${address}|${port}`))
  }

  #rotate(now: Instant): void {
    this.#madeAt ??= now
    const age = elapsed(this.#madeAt, now)
    if (age < SECRET_TIME) return
    this.#previous = age < 2 * SECRET_TIME ? this.#secret : undefined
    this.#secret = this.#suite.random(SECRET_LENGTH)
    this.#madeAt = now
  }
}
