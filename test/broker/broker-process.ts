import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { BrokerStatus } from '#broker/broker.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { ClientOptions } from '#test/broker/device-client.ts'

/** A broker child (broker-child.ts) on a data folder, and what its clients need to know of it. */
export class BrokerProcess {
  readonly child: ChildProcess
  readonly ready: ClientOptions['broker']
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, ready: ClientOptions['broker']) {
    this.child = child
    this.#lines = lines
    this.ready = ready
  }

  static async start(folder: string, { port = 0, nodeArguments = [] as string[] } = {}): Promise<BrokerProcess> {
    const script = new URL('./broker-child.ts', import.meta.url).pathname
    const child = spawn(process.execPath, ['--import', 'tsx', ...nodeArguments, script, folder, String(port)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const reader: Interface = createInterface({ input: child.stdout! })
    const lines = reader[Symbol.asyncIterator]()
    const { value } = await lines.next()
    if (value === undefined) throw new Error('the broker child ended before it was ready')
    const { listen, tunnelKey, inner, routes } = JSON.parse(value) as {
      listen: string
      tunnelKey: string
      inner: string[]
      routes: string[]
    }
    return new BrokerProcess(child, lines, { endpoint: listen, tunnelKey: fromHex(tunnelKey), inner, routes })
  }

  get port(): number {
    return Number(this.ready.endpoint.split(':').at(-1))
  }

  async ask(): Promise<{ memory: NodeJS.MemoryUsage; cpu: NodeJS.CpuUsage; status: BrokerStatus }> {
    this.child.stdin!.write('report\n')
    return JSON.parse((await this.#lines.next()).value as string)
  }

  /** kill -9. Resolves when the process is gone. */
  async kill(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.stdin!.write('stop\n')
    await gone
  }
}
