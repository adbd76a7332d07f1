import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { RotationCommand, RotationOrder, RotationReport } from '#test/bench/rotation-child.ts'

/** A process full of whole agents (rotation-child.ts). Its machine has no `ip monitor`: a thousand of them would measure that. */
export class RotationProcess {
  readonly #order: RotationOrder
  #child!: ChildProcess
  #lines!: AsyncIterator<string>
  /** One question at a time. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(order: RotationOrder) {
    this.#order = order
  }

  /** Resolves when all its agents are enrolled, and those who are to be awake were started. */
  static async start(order: RotationOrder): Promise<RotationProcess> {
    const fleet = new RotationProcess(order)
    await fleet.#open(order)
    return fleet
  }

  get numbers(): readonly number[] {
    return this.#order.numbers
  }

  sleep(numbers: readonly number[]): Promise<unknown> {
    return this.#tell({ do: 'sleep', numbers: this.#own(numbers) })
  }

  wake(numbers: readonly number[]): Promise<unknown> {
    return this.#tell({ do: 'wake', numbers: this.#own(numbers) })
  }

  report(): Promise<RotationReport[]> {
    return this.#tell({ do: 'report' })
  }

  /** Those whose state on the disk proves itself to the API. */
  prove(): Promise<number[]> {
    return this.#tell({ do: 'prove', numbers: this.numbers })
  }

  /** The power of all its boards goes, and comes back: those who were awake start again from what is on the disk. */
  async powerCut(awake: readonly number[]): Promise<void> {
    await this.stop()
    await this.#open({ ...this.#order, awake: this.#own(awake) })
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await ended
  }

  #own(numbers: readonly number[]): number[] {
    return numbers.filter((number) => this.numbers.includes(number))
  }

  async #open(order: RotationOrder): Promise<void> {
    const script = new URL('./rotation-child.ts', import.meta.url).pathname
    const env = { ...process.env, PATH: '/nonexistent', NODE_EXTRA_CA_CERTS: '' }
    this.#child = spawn(process.execPath, ['--import', 'tsx', script], { env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
    await this.#ask(order)
  }

  #tell<Answer>(command: RotationCommand): Promise<Answer> {
    const answer = this.#turn.catch(() => undefined).then(() => this.#ask<Answer>(command))
    this.#turn = answer
    return answer
  }

  async #ask<Answer>(what: object): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(what)}\n`)
    const { value } = await this.#lines.next()
    if (value === undefined) throw new Error('a process of agents ended')
    return JSON.parse(value)
  }
}
