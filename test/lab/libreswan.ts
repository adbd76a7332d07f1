import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Host } from '#test/lab/namespaces.ts'
import type { Finished } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'

/** Where `prepare.sh` unpacks Debian's package: it cannot be installed beside strongSwan's, though the two run side by side. */
const unpacked = '/var/cache/adit-interop/libreswan/usr/libexec'

export interface LibreswanOptions {
  /** The namespace it runs in, with a default route: `left=%defaultroute` asks for one. */
  host: Host
  /** As `adit-broker device add --ipsec` writes it. */
  peerFolder: string
  /** Changes ipsec.conf before it is loaded. */
  edit?: (conf: string) => string
}

/**
 * libreswan's pluto as a process in a namespace, with the programs that it calls where it looks for them, and an NSS database filled by
 * the very commands that stand in ipsec.conf.
 */
export class Libreswan {
  readonly #host: Host
  readonly #folder = mkdtempSync(join(tmpdir(), 'adit-libreswan-'))
  #child: ChildProcess | undefined

  private constructor(host: Host) {
    this.#host = host
  }

  static async start(t: Pick<TestContext, 'after'>, { host, peerFolder, edit }: LibreswanOptions): Promise<Libreswan> {
    const peer = new Libreswan(host)
    t.after(() => peer.#close())
    peer.#prepare(peerFolder, edit)
    await peer.#launch()
    return peer
  }

  /** Loads a connection of ipsec.conf and begins it; resolves to what pluto said of it to its end, good or bad. */
  async initiate(connection: string): Promise<string> {
    const loaded = await this.#run('addconn', '--config', this.#file('ipsec.conf'), '--ctlsocket', this.#socket, connection)
    if (loaded.status !== 0) throw new Error(`addconn: ${loaded.stdout}${loaded.stderr}`)
    return (await this.#run('whack', '--ctlsocket', this.#socket, '--name', connection, '--initiate')).stdout
  }

  /** What pluto has logged. */
  get log(): string {
    const path = this.#file('pluto.log')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  #prepare(peerFolder: string, edit = (conf: string): string => conf): void {
    const conf = edit(readFileSync(join(peerFolder, 'ipsec.conf'), 'utf8'))
    for (const name of ['nss', 'run', 'ipsec.d']) mkdirSync(this.#file(name), { mode: 0o700 })
    const secrets = join(peerFolder, 'ipsec.secrets')
    writeFileSync(this.#file('ipsec.secrets'), existsSync(secrets) ? readFileSync(secrets) : '', { mode: 0o600 })
    // auto=start would begin before anybody watches.
    writeFileSync(this.#file('ipsec.conf'), `config setup\n\n${conf.replaceAll('auto=start', 'auto=ignore')}`)
    const nss = `sql:${this.#file('nss')}`
    execFileSync('certutil', ['-N', '-d', nss, '--empty-password'])
    const commands = conf
      .split('\n')
      .filter((line) => line.startsWith('#   '))
      .map((line) => line.slice(4))
      .join('\n')
      .replaceAll('sql:/var/lib/ipsec/nss', nss)
      .replaceAll('ipsec import adit.p12', `pk12util -i adit.p12 -d ${nss} -W ''`)
    execFileSync('bash', ['-ec', commands], { cwd: peerFolder, stdio: 'pipe' })
  }

  async #launch(): Promise<void> {
    const words = ['--nofork', '--no-dnssec', '--logfile', this.#file('pluto.log'), '--log-no-time']
    const places = ['--rundir', this.#file('run'), '--ipsecdir', this.#file('ipsec.d'), '--nssdir', this.#file('nss')]
    // First, since what it says of places would stand above what follows.
    const files = ['--config', this.#file('ipsec.conf'), '--secretsfile', this.#file('ipsec.secrets')]
    const script = `mount --bind ${unpacked} /usr/libexec && exec /usr/libexec/ipsec/pluto "$@"`
    const [command, ...rest] = [...this.#host.prefix, 'unshare', '-m', 'bash', '-c', script, 'pluto']
    const child = spawn(command!, [...rest, ...files, ...words, ...places], { stdio: 'ignore' })
    this.#child = child
    const otherwise = (): string => `pluto does not listen (${child.exitCode}): ${this.log.slice(-1000)}`
    const up = async (): Promise<boolean> => child.exitCode !== null || existsSync(this.#socket)
    await seen(up, (is) => is, { timeoutMs: 20_000, otherwise })
    if (child.exitCode !== null) throw new Error(otherwise())
    await this.#run('whack', '--ctlsocket', this.#socket, '--listen')
  }

  #run(program: 'whack' | 'addconn', ...words: readonly string[]): Promise<Finished> {
    const [command, ...rest] = [...this.#host.prefix, join(unpacked, 'ipsec', program), ...words]
    return new Promise((resolve) => {
      execFile(command!, rest, { timeout: 30_000 }, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
        resolve({ status, stdout, stderr })
      })
    })
  }

  get #socket(): string {
    return join(this.#file('run'), 'pluto.ctl')
  }

  #file(name: string): string {
    return join(this.#folder, name)
  }

  async #close(): Promise<void> {
    const child = this.#child
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
