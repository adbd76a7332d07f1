import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'

/** Bytes of a token: nobody guesses one. */
const tokenLength = 24
/** Tablets at a line; the one that came first gives way. */
const mostVisitors = 16

/**
 * Who may see the line's page: whoever was first to use the address that the station showed. It is good for one use; each use makes the
 * next, so that the terminal always shows one that is good.
 */
export class PageAccess {
  readonly #suite: Pick<Suite, 'random' | 'hash'>
  #token: string
  #visitors: Uint8Array[] = []

  constructor(suite: Pick<Suite, 'random' | 'hash'>) {
    this.#suite = suite
    this.#token = this.#secret()
  }

  /** The one that is good now. */
  get token(): string {
    return this.#token
  }

  /** What the visitor shows from now on; undefined where the token is none, or was used. */
  redeem(token: string): string | undefined {
    if (!equalConstantTime(this.#digest(token), this.#digest(this.#token))) return undefined
    this.#token = this.#secret()
    const visitor = this.#secret()
    this.#visitors = [...this.#visitors, this.#digest(visitor)].slice(-mostVisitors)
    return visitor
  }

  admits(visitor: string): boolean {
    const digest = this.#digest(visitor)
    return this.#visitors.some((known) => equalConstantTime(known, digest))
  }

  #secret(): string {
    return Buffer.from(this.#suite.random(tokenLength)).toString('base64url')
  }

  #digest(text: string): Uint8Array {
    return this.#suite.hash('sha256', Buffer.from(text, 'utf8'))
  }
}
