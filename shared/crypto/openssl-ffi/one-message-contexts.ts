import type { AeadContext, Direction } from './aead-context.ts'
import type { AeadName, OpensslCrypto } from './openssl-crypto.ts'
import type { PacketRoom } from './packet-room.ts'

/**
 * The contexts that keys of one message pass through: one for each algorithm and direction, made when it is first needed and kept. Between
 * two messages its key is zeros.
 */
export class OneMessageContexts {
  readonly #crypto: OpensslCrypto
  readonly #room: PacketRoom
  readonly #contexts = { seal: new Map<AeadName, AeadContext>(), open: new Map<AeadName, AeadContext>() }

  constructor(crypto: OpensslCrypto, room: PacketRoom) {
    this.#crypto = crypto
    this.#room = room
  }

  /** Calls `use` with a context that has this key meanwhile; `key` is as long as `name` has it. */
  with<T>(name: AeadName, direction: Direction, key: Uint8Array, use: (context: AeadContext) => T): T {
    const room = this.#room
    const context = this.#contextOf(name, direction)
    room.withKey(key, (at) => context.rekey(at, key.length))
    try {
      return use(context)
    } finally {
      context.rekey(room.noKeyAt, key.length)
    }
  }

  #contextOf(name: AeadName, direction: Direction): AeadContext {
    const known = this.#contexts[direction].get(name)
    if (known !== undefined) return known
    const made = this.#crypto.context(name, direction, this.#room.noKeyAt)
    this.#contexts[direction].set(name, made)
    return made
  }
}
