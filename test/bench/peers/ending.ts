import type { TestContext } from 'node:test'

/**
 * What has been begun and must end, however it ends: it takes the place of a test's context where there is no test. The last begun ends first;
 * one that fails to end keeps no other from ending.
 */
export class Ending implements Pick<TestContext, 'after'> {
  readonly #steps: (() => unknown)[] = []

  after(step: () => unknown): void {
    this.#steps.push(step)
  }

  async end(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step()
      } catch (error) {
        process.stderr.write(`while cleaning up: ${error instanceof Error ? error.message : String(error)}\n`)
      }
    }
  }
}
