import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import type { Host } from '#test/lab/namespaces.ts'
import { seen } from '#test/lab/seen.ts'

/** A program in a namespace that runs until `t` ends; what it says is kept for the sentence with which it fails. */
export class Daemon {
  readonly #name: string
  readonly #child: ChildProcess
  #said = ''

  static start(t: Pick<TestContext, 'after'>, host: Host, command: string, ...words: readonly string[]): Daemon {
    const daemon = new Daemon(host, command, words)
    t.after(() => daemon.#stop())
    return daemon
  }

  private constructor(host: Host, command: string, words: readonly string[]) {
    this.#name = command
    const [prefix, ...prefixWords] = host.prefix
    this.#child = spawn(prefix!, [...prefixWords, command, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.on('data', (bytes: Buffer) => {
        this.#said = (this.#said + bytes).slice(-20_000)
      })
    }
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Resolves when it has said so; fails with what it said when it ends or `timeoutMs` pass. */
  async says(pattern: RegExp, timeoutMs = 15_000): Promise<void> {
    const over = () => (this.#isOver ? 'ended' : undefined)
    const look = () => (pattern.test(this.#said) ? 'said' : over())
    const otherwise = () => `${this.#name} did not say ${pattern}: ${this.#said.slice(-1_000)}`
    const came = await seen(look, (what) => what !== undefined, { timeoutMs, everyMs: 20, otherwise })
    if (came === 'ended') throw new Error(`${this.#name} ended: ${this.#said.slice(-1_000)}`)
  }

  get #isOver(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async #stop(): Promise<void> {
    if (this.#isOver) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000)
    await ended
    clearTimeout(killer)
  }
}
