import type { TestContext } from 'node:test'
import type { Operator } from '#test/lab/fleet.ts'
import { Program } from '#test/lab/program.ts'

const everyMs = 50
const command = `i=0; while sleep ${everyMs / 1_000}; do i=$((i+1)); echo "{\\"tick\\":$i}"; done`

/** An ssh session in which the device says something every 50 ms. */
export class SshTicks {
  readonly #program: Program

  private constructor(program: Program) {
    this.#program = program
  }

  /** `ssh`: the words of an `adit ssh` that runs a command on the device. */
  static start(t: Pick<TestContext, 'after'>, operator: Operator, ssh: (command: string) => readonly string[]): SshTicks {
    const ticks = new SshTicks(Program.start('adit', ssh(command), { env: operator.env, prefix: operator.prefix }))
    t.after(() => ticks.stop())
    return ticks
  }

  /** Waits for so many more ticks; returns the longest silence, ms. */
  async after(count: number): Promise<number> {
    const { events } = this.#program
    const until = events.length + count
    let longest = 0
    for (let have = events.length; have < until; have++) {
      const from = performance.now()
      await this.#program.eventsUntil((all) => all.length > have, 30_000)
      longest = Math.max(longest, performance.now() - from)
    }
    return Math.round(longest)
  }

  /** Whether not one tick is missing or came twice. */
  get isWhole(): boolean {
    return this.#program.events.every(({ tick }, at) => tick === at + 1)
  }

  async stop(): Promise<void> {
    await this.#program.stop()
  }
}
