import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { Host } from '#test/lab/namespaces.ts'

/** `truth ADDR` and `lie ADDR` answer with ADDR; `slow MS ADDR` does so later; `ipv4only ADDR ADDR` is a DNS64 that knows ipv4only.arpa alone. */
export type NameServerBehaviour =
  | `truth ${string}`
  | `lie ${string}`
  | `slow ${number} ${string}`
  | `ipv4only ${string}`
  | 'nxdomain'
  | 'silent'

/** A name server in the namespace of one host, and the one that `clients` ask: each gets an /etc/netns/NAME/resolv.conf, which `ip netns exec` mounts. */
export class NameServer {
  readonly #child: ChildProcess
  readonly #said: ((line: string) => void)[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    createInterface({ input: child.stdout! }).on('line', (line) => this.#said.shift()?.(line))
  }

  static async start(t: Pick<TestContext, 'after'>, host: Host, address: string, clients: readonly Host[]): Promise<NameServer> {
    for (const client of clients) {
      const folder = join('/etc/netns', client.name)
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'resolv.conf'), `nameserver ${address}\n`)
      t.after(() => rmSync(folder, { recursive: true, force: true }))
    }
    const script = join(import.meta.dirname, '..', 'interop', 'name-server-child.ts')
    const [command, ...words] = [...host.prefix, process.execPath, '--import', 'tsx', script, address]
    const child = spawn(command!, words, { stdio: ['pipe', 'pipe', 'inherit'] })
    t.after(() => void child.kill())
    const server = new NameServer(child)
    await server.#heard()
    return server
  }

  /** Resolves when it behaves so. */
  async behave(as: NameServerBehaviour): Promise<void> {
    const heard = this.#heard()
    this.#child.stdin!.write(`${as}\n`)
    await heard
  }

  #heard(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#said.push(resolve)
      this.#child.once('exit', (status) => reject(new Error(`the name server ended with ${status}`)))
    })
  }
}
