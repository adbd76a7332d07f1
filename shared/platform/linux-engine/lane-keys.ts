import type { LaneSession } from '#shared/tunnel/data-lane.ts'
import { KEY_BLOCK } from './key-block.ts'
import type { NativeMemory } from './memory.ts'

/**
 * Keys of installed sessions, outside the JavaScript heap, where nothing copies them about: the lane reads them by their address, and so
 * does another one that takes its place. A block is wiped when its session is released and the lane has said that it reads it no more.
 */
export class LaneKeys {
  readonly #memory: NativeMemory
  readonly #free: number[] = []

  constructor(memory: NativeMemory) {
    this.#memory = memory
  }

  /** Returns the block's machine address; undefined: there is no room. */
  keep(session: LaneSession): number | undefined {
    const at = this.#free.pop() ?? this.#allocate()
    if (at === undefined) return undefined
    const { bytes } = this.#memory
    bytes.set(session.sendKey, at + KEY_BLOCK.send)
    bytes.set(session.receiveKey, at + KEY_BLOCK.receive)
    bytes.set(session.sendSalt, at + KEY_BLOCK.sendSalt)
    bytes.set(session.receiveSalt, at + KEY_BLOCK.receiveSalt)
    return this.#memory.address(at, KEY_BLOCK.length)
  }

  wipe(address: number): void {
    const at = address - this.#memory.address(0, 0)
    this.#memory.bytes.fill(0, at, at + KEY_BLOCK.length)
    this.#free.push(at)
  }

  #allocate(): number | undefined {
    try {
      return this.#memory.allocate(KEY_BLOCK.length, 8)
    } catch {
      return undefined
    }
  }
}
