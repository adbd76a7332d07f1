import type { NativeMemory } from './memory.ts'

/** An array of struct iovec, filled again for every call. */
export class IoVectors {
  readonly #memory: NativeMemory
  readonly #at: number
  readonly #size: number
  /** Its machine address. */
  readonly address: number

  constructor(memory: NativeMemory, count: number) {
    this.#memory = memory
    this.#size = memory.abi.iovec.size
    this.#at = memory.allocate(count * this.#size)
    this.address = memory.address(this.#at, count * this.#size)
  }

  /** `memory[at..at + length]` is the one at `index`. Throws RangeError outside the memory. */
  set(index: number, at: number, length: number): void {
    const { base, length: lengthAt } = this.#memory.abi.iovec
    const vector = this.#at + index * this.#size
    this.#memory.setPointer(vector + base, at, length)
    this.#memory.setSize(vector + lengthAt, length)
  }
}
