/** Prints each step of the demonstration with its time, and stops at the first that did not truly happen. */
export class Steps {
  readonly #started = performance.now()
  readonly #say: (line: string) => void

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  /** Runs one step; `did` makes the sentence that is printed from what the step found. */
  async step<Result>(title: string, action: () => Promise<Result>, did?: (result: Result) => string): Promise<Result> {
    const from = performance.now()
    try {
      const result = await action()
      this.#say(`  ok    ${this.#clock()}  ${title.padEnd(44)} ${took(from).padStart(7)}  ${did?.(result) ?? ''}`.trimEnd())
      return result
    } catch (error) {
      this.#say(`  FAIL  ${this.#clock()}  ${title}`)
      throw error
    }
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1_000
  }

  #clock(): string {
    return `${this.seconds.toFixed(1).padStart(5)} s`
  }
}

const took = (from: number): string => `${Math.round(performance.now() - from)} ms`
