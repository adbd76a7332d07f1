/**
 * When the consequences of input are drawn: inside the call that caused them, once it is otherwise done; or, where the driver gave a `defer`,
 * once for all the calls of a batch. A consequence never runs in the middle of its cause, nor inside another one.
 */
export class Turn {
  readonly #run: () => void
  readonly #defer: ((task: () => void) => void) | undefined
  #depth = 0
  #wanted = false
  #running = false

  constructor(run: () => void, defer: ((task: () => void) => void) | undefined) {
    this.#run = run
    this.#defer = defer
  }

  enter(): void {
    this.#depth++
  }

  leave(): void {
    this.#depth--
    if (this.#wanted && this.#depth === 0 && this.#defer === undefined) this.#now()
  }

  /** There is something to do. */
  want(): void {
    if (this.#wanted) return
    this.#wanted = true
    if (this.#defer !== undefined) this.#defer(() => this.#now())
    else if (this.#depth === 0) this.#now()
  }

  #now(): void {
    if (this.#running) return
    this.#running = true
    try {
      while (this.#wanted) {
        this.#wanted = false
        this.#run()
      }
    } finally {
      this.#running = false
    }
  }
}
