import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint } from './association.ts'
import { CookieSecrets } from './cookie-secrets.ts'

/** Bytes. */
export const IKE_COOKIE_LENGTH = 16
const text = new TextEncoder()

/**
 * Stateless cookies (RFC 7296 §2.6): a MAC over the initiator's address, port, SPI and nonce, so that whoever shows one has received it
 * there, for this very request.
 */
export class IkeCookies {
  readonly #suite: Suite
  readonly #secrets: CookieSecrets

  constructor(suite: Suite) {
    this.#suite = suite
    this.#secrets = new CookieSecrets(suite)
  }

  /** `spi`: the initiator's, 8 bytes as they came. */
  make(spi: Uint8Array, nonce: Uint8Array, from: Endpoint, now: Instant): Uint8Array {
    return this.#mac(this.#secrets.at(now)[0], spi, nonce, from)
  }

  verify(cookie: Uint8Array, spi: Uint8Array, nonce: Uint8Array, from: Endpoint, now: Instant): boolean {
    return this.#secrets.at(now).some((secret) => equalConstantTime(cookie, this.#mac(secret, spi, nonce, from)))
  }

  #mac(secret: Uint8Array, spi: Uint8Array, nonce: Uint8Array, { address, port }: Endpoint): Uint8Array {
    return this.#suite.blake2s(IKE_COOKIE_LENGTH, secret, spi, nonce, text.encode(`${address}|${port}`))
  }
}
