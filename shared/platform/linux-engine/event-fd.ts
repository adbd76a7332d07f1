/** An eventfd(2): one thread wakes another that waits in poll(2). Both hold the same descriptor, each its own EventFd. */
import { type Libc, O_CLOEXEC, O_NONBLOCK } from './libc.ts'
import type { NativeMemory } from './memory.ts'

/** The counter of an eventfd, bytes. */
const COUNTER = 8

export class EventFd {
  readonly descriptor: number
  readonly #libc: Libc
  readonly #one: number
  readonly #read: number

  /** Makes one, or is another hand on the `descriptor` of one that was made. Throws where the system has no descriptor left. */
  constructor(libc: Libc, memory: NativeMemory, descriptor?: number) {
    this.#libc = libc
    const at = memory.allocate(2 * COUNTER)
    memory.words[at >> 2] = 1
    this.#one = memory.address(at, COUNTER)
    this.#read = memory.address(at + COUNTER, COUNTER)
    this.descriptor = descriptor ?? libc.eventfd(0, O_NONBLOCK | O_CLOEXEC)
    if (this.descriptor < 0) throw new Error(`eventfd failed with error ${libc.errno()}`)
  }

  /** Its descriptor is readable from now on. */
  wake(): void {
    this.#libc.write(this.descriptor, this.#one, COUNTER)
  }

  /** It is not, until the next wake. */
  drain(): void {
    this.#libc.read(this.descriptor, this.#read, COUNTER)
  }

  /** The descriptor goes for all who hold it. */
  close(): void {
    this.#libc.close(this.descriptor)
  }
}
