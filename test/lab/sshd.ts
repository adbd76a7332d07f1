import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface SshdOptions {
  /** Runs it inside a namespace. */
  prefix?: readonly string[]
  /** Where it listens: 127.0.0.1. */
  address?: string
  /** A free one of this machine, unless given. */
  port?: number
}

/** A real OpenSSH server with a host key, a port and an authorised key of its own. One logs in as `user` with `identity`. */
export class Sshd {
  readonly folder: string
  readonly address: string
  readonly port: number
  readonly user = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()
  readonly #prefix: readonly string[]
  #child: ChildProcess | undefined
  #said = ''

  private constructor(folder: string, address: string, port: number, prefix: readonly string[]) {
    this.folder = folder
    this.address = address
    this.port = port
    this.#prefix = prefix
  }

  static async start(t: Pick<TestContext, 'after'>, options: SshdOptions = {}): Promise<Sshd> {
    const folder = mkdtempSync(join(tmpdir(), 'adit-sshd-'))
    const { address = '127.0.0.1', prefix = [] } = options
    const sshd = new Sshd(folder, address, options.port ?? (await freePort()), prefix)
    t.after(async () => {
      await sshd.stop()
      rmSync(folder, { recursive: true, force: true })
    })
    makeKey(join(folder, 'host_key'))
    makeKey(sshd.identity)
    writeFileSync(join(folder, 'authorized_keys'), readFileSync(`${sshd.identity}.pub`))
    writeFileSync(join(folder, 'sshd_config'), sshd.#config())
    // Debian's sshd wants the folder of its privilege separation, which only its service unit makes.
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
    await sshd.up()
    return sshd
  }

  /** The private key that may log in. */
  get identity(): string {
    return join(this.folder, 'id_ed25519')
  }

  /** Flags for any program that takes ssh's. */
  get flags(): string[] {
    return ['-i', this.identity, '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes']
  }

  get where(): string {
    return `${this.address}:${this.port}`
  }

  async up(): Promise<void> {
    const [command, ...words] = [...this.#prefix, '/usr/sbin/sshd', '-D', '-e', '-f', join(this.folder, 'sshd_config')]
    const child = spawn(command!, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    this.#said = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (bytes: Buffer) => {
        this.#said += bytes
        if (this.#said.includes('Server listening')) resolve()
      })
      child.once('exit', () => reject(new Error(`sshd ended: ${this.#said}`)))
      child.once('error', reject)
    })
  }

  /** Ends it; sessions that are open go on, as those of a restarted sshd do. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }

  /** As if the machine had been installed anew, or somebody else's stood in its place. */
  async changeHostKey(): Promise<void> {
    await this.stop()
    makeKey(join(this.folder, 'other_key'))
    for (const ending of ['', '.pub']) renameSync(join(this.folder, `other_key${ending}`), join(this.folder, `host_key${ending}`))
    await this.up()
  }

  #config(): string {
    return [
      `ListenAddress ${this.address}`,
      `Port ${this.port}`,
      `HostKey ${join(this.folder, 'host_key')}`,
      `AuthorizedKeysFile ${join(this.folder, 'authorized_keys')}`,
      `PidFile ${join(this.folder, 'pid')}`,
      'PermitRootLogin prohibit-password',
      'PasswordAuthentication no',
      'StrictModes no',
      'UsePAM no',
      'Subsystem sftp internal-sftp',
      '',
    ].join('\n')
  }
}

function makeKey(path: string): void {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', path])
}

/** A TCP port of 127.0.0.1 that nobody holds at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}
