import type { AeadContext, OpensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import type { LaneAlgorithm } from '#shared/tunnel/data-lane.ts'
import { KEY_BLOCK } from './key-block.ts'
import type { NativeMemory } from './memory.ts'

/** The contexts of one session, keyed. */
export interface SessionCiphers {
  readonly seal: AeadContext
  readonly open: AeadContext
}

/** A session that may be lent ciphers. */
export interface CipherUser {
  readonly algorithm: LaneAlgorithm
  /** Machine address of its key block. */
  readonly keys: number
  /** Others need them more: it wipes them, and asks anew when it wants some. */
  dropCiphers(): void
}

/**
 * Cipher contexts for the sessions that moved packets last. Two of them take 2 KB, and making them costs as much as sealing three packets:
 * those who say something every half minute need not keep theirs.
 */
export class LaneCiphers {
  readonly #crypto: OpensslCrypto
  readonly #memory: NativeMemory
  readonly #copy: (to: number, from: number, length: number) => number
  readonly #keysAt: number
  /** Who has some, in the order in which they asked: the one at `#oldest` gives his away first. */
  readonly #users: (CipherUser | undefined)[]
  #oldest = 0

  /** `copy` is memcpy(3); `most`: how many sessions have theirs at a time. */
  constructor(
    crypto: OpensslCrypto,
    memory: NativeMemory,
    copy: (to: number, from: number, length: number) => number,
    most = 4_096,
  ) {
    this.#crypto = crypto
    this.#memory = memory
    this.#copy = copy
    this.#keysAt = memory.allocate(KEY_BLOCK.length)
    this.#users = new Array(most).fill(undefined)
  }

  /** Calls `use` with where in the lane's memory a copy of a key block stands meanwhile. */
  withKeys<T>(keys: number, use: (at: number) => T): T {
    const at = this.#keysAt
    this.#copy(this.#memory.address(at, KEY_BLOCK.length), keys, KEY_BLOCK.length)
    try {
      return use(at)
    } finally {
      this.#memory.bytes.fill(0, at, at + KEY_BLOCK.length)
    }
  }

  /** A session has ended: nothing of it stays here. */
  leave(user: CipherUser): void {
    const slot = this.#users.indexOf(user)
    if (slot >= 0) this.#users[slot] = undefined
  }

  /** For a session that has none. */
  lend(user: CipherUser): SessionCiphers {
    const slot = this.#oldest
    this.#oldest = (slot + 1) % this.#users.length
    this.#users[slot]?.dropCiphers()
    this.#users[slot] = user
    const { algorithm } = user
    return this.withKeys(user.keys, (at) => ({
      seal: this.#crypto.context(algorithm, 'seal', at + KEY_BLOCK.send),
      open: this.#crypto.context(algorithm, 'open', at + KEY_BLOCK.receive),
    }))
  }
}
