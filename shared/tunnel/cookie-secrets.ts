import type { Suite } from '#shared/crypto/suite.ts'
import { elapsed, type Instant } from '#shared/time/instant.ts'
import { COOKIE_REFRESH_TIME } from './wireguard-constants.ts'

/** Bytes. */
const SECRET_LENGTH = 32

/** What stateless cookies are made with, in either suite: nothing is kept for those to whom one is sent. */
export class CookieSecrets {
  readonly #suite: Pick<Suite, 'random'>
  #secrets: readonly [Uint8Array, ...Uint8Array[]]
  #madeAt: Instant | undefined

  constructor(suite: Pick<Suite, 'random'>) {
    this.#suite = suite
    this.#secrets = [suite.random(SECRET_LENGTH)]
  }

  /** The present one first. Cookies live as long as the next secret, 120 to 240 s: those of the one before are good still. */
  at(now: Instant): readonly [Uint8Array, ...Uint8Array[]] {
    this.#madeAt ??= now
    const age = elapsed(this.#madeAt, now)
    if (age < COOKIE_REFRESH_TIME) return this.#secrets
    const fresh = this.#suite.random(SECRET_LENGTH)
    this.#secrets = age < 2 * COOKIE_REFRESH_TIME ? [fresh, this.#secrets[0]] : [fresh]
    this.#madeAt = now
    return this.#secrets
  }
}
