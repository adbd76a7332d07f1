import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { FleetOrder, PublishAnswer } from '#test/bench/fleet-child.ts'

/** A process full of devices (fleet-child.ts). */
export class FleetProcess {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }

  /** Resolves when all its devices have their tunnel and their MQTT session. */
  static async start(order: FleetOrder): Promise<FleetProcess> {
    const script = new URL('./fleet-child.ts', import.meta.url).pathname
    const child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['pipe', 'pipe', 'inherit'] })
    const fleet = new FleetProcess(child)
    await fleet.#ask(JSON.stringify(order))
    return fleet
  }

  publish(ms: number): Promise<PublishAnswer> {
    return this.#ask(`publish ${ms}`)
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }

  async #ask<Answer>(line: string): Promise<Answer> {
    this.#child.stdin!.write(`${line}\n`)
    const { value } = await this.#lines.next()
    if (value === undefined) throw new Error('the fleet process ended')
    return JSON.parse(value)
  }
}
