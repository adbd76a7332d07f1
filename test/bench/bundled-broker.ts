import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { askBroker } from '#broker/admin/io/admin-client.ts'
import type { BrokerStatus } from '#broker/broker.ts'
import { processorMicrosOf } from '#test/lab/processor-time.ts'
import { Program } from '#test/lab/program.ts'

const root = join(import.meta.dirname, '..', '..')

/** The broker as it is shipped (`make build`), a process of its own, seen from outside. */
export class BundledBroker {
  readonly endpoint: string
  /** URL. */
  readonly api: string
  readonly #program: Program
  readonly #folder: string

  private constructor(program: Program, folder: string, { listen, api }: { listen: string; api: string }) {
    this.#program = program
    this.#folder = folder
    this.endpoint = listen
    this.api = api
  }

  /** On 127.0.0.1, on those ports; resolves when it is ready. ADIT_BENCH_NODE: further words for node, such as --cpu-prof. */
  static async start(folder: string, port = 0, apiPort = 0): Promise<BundledBroker> {
    const words = (process.env.ADIT_BENCH_NODE ?? '').split(' ').filter(Boolean)
    const script = join(root, 'dist', 'adit-broker.js')
    const options = ['--listen', `127.0.0.1:${port}`, '--api', `127.0.0.1:${apiPort}`, '--log', 'warn', '--json']
    const program = Program.command(process.execPath, [...words, script, 'run', '--data', folder, ...options])
    const { listen, api } = await program.event(({ event }) => event === 'ready', 60_000)
    return new BundledBroker(program, folder, { listen: String(listen), api: String(api) })
  }

  get port(): number {
    return Number(this.endpoint.split(':').at(-1))
  }

  status(): Promise<BrokerStatus> {
    return this.ask('status', {})
  }

  /** As one of the commands of `adit-broker` does. */
  async ask<Answer>(verb: string, args: object): Promise<Answer> {
    const answer = await askBroker(this.#folder, verb, args)
    if (answer === undefined) throw new Error(`the broker does not answer: ${this.#program.stderr}`)
    return answer.result as Answer
  }

  /** Bytes of memory that it holds (VmRSS), all threads and native code included. */
  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.#program.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1_024
  }

  /** Microseconds of processor that it has used, all threads, user and system. */
  get cpuMicros(): number {
    return processorMicrosOf(this.#program.pid)
  }

  async kill(): Promise<void> {
    await this.#program.stop('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#program.stop('SIGTERM')
  }
}
