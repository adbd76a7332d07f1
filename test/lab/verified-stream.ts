import type { TestContext } from 'node:test'
import type { Host } from '#test/lab/namespaces.ts'
import { Program } from '#test/lab/program.ts'

const port = 5202
const child = new URL('./verified-stream-child.ts', import.meta.url).pathname

/** A TCP connection from host a to an address of host b that is full both ways with bytes which both ends judge. */
export class VerifiedStream {
  /** Rejects when either end finds a wrong byte, or loses the connection. */
  readonly failed: Promise<never>
  readonly #a: Program
  readonly #b: Program

  private constructor(a: Program, b: Program) {
    this.#a = a
    this.#b = b
    this.failed = Promise.race([a, b].map((end) => failureOf(end)))
    // Told to whoever waits for it; until then it is no accident.
    this.failed.catch(() => {})
  }

  static async start(t: Pick<TestContext, 'after'>, hosts: { a: Host; b: Host }, address: string): Promise<VerifiedStream> {
    const b = end(t, hosts.b, 'serve', address)
    await b.event(({ event }) => event === 'listening')
    const a = end(t, hosts.a, 'call', address)
    await Promise.all([a, b].map((one) => one.event(({ event }) => event === 'connected')))
    return new VerifiedStream(a, b)
  }

  /** Bytes that arrived at each end and were right. */
  get verified(): { a: number; b: number } {
    const last = ({ events }: Program): number => Number(events.findLast(({ event }) => event === 'progress')?.verified ?? 0)
    return { a: last(this.#a), b: last(this.#b) }
  }
}

function end(t: Pick<TestContext, 'after'>, host: Host, role: string, address: string): Program {
  const node = [process.execPath, '--import', 'tsx', child, role, address, String(port), 'seed of the soak']
  const [command, ...words] = [...host.prefix, ...node]
  const program = Program.command(command!, words)
  t.after(() => program.stop())
  return program
}

async function failureOf(program: Program): Promise<never> {
  const isFailure = ({ event }: { readonly event?: unknown }): boolean => event === 'corrupt' || event === 'ended'
  const said = await program.event(isFailure, 2 ** 31 - 1)
  throw new Error(`a stream failed: ${JSON.stringify(said)}`)
}
