/** One at a time, in the order of asking. */
export class Mutex {
  #tail: Promise<void> = Promise.resolve()

  /** Resolves when it is the caller's turn; the function that it gives ends the turn (once; later calls do nothing). */
  async enter(): Promise<() => void> {
    const before = this.#tail
    let leave = (): void => undefined
    this.#tail = new Promise((resolve) => {
      leave = resolve
    })
    await before
    return leave
  }
}
