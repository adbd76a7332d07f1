import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { Host } from '#test/lab/namespaces.ts'
import { processorMicrosOf } from '#test/lab/processor-time.ts'
import type { Finished } from '#test/lab/program.ts'

/** IKE proposals in its words: of what we offer every encryption, PRF and group once. */
export const ikeProposals: readonly string[] = [
  'aes256gcm16-prfsha256-x25519',
  'aes128gcm16-prfsha384-ecp256',
  'chacha20poly1305-prfsha512-ecp384',
  'aes256-sha256-prfsha256-ecp521',
  'aes128-sha384-prfsha384-modp2048',
  'aes256-sha512-prfsha512-modp3072',
  'aes256-sha256-modp4096',
]

export interface StrongswanOptions {
  /** The namespace it runs in: its sockets, its ESP and its addresses. */
  host: Host
  /** More lines for the section `charon` of strongswan.conf. */
  settings?: readonly string[]
  /** More plugins to load. */
  plugins?: readonly string[]
  /** Of its log; 1 tells what happens, 2 what is proposed, 4 everything with keys. */
  logLevel?: number
  /** The UDP port of bare IKE and that of IKE and ESP behind the marker. Those of the RFCs unless given. */
  ports?: { ike: number; natT: number }
}

/**
 * strongSwan's charon as a process in a namespace, with ESP in user space (kernel-libipsec: what the test machine's kernel lacks), which
 * therefore is always in UDP. Files that `swanctl --load-all` takes belong into `folder`.
 */
export class Strongswan {
  readonly host: Host
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-swan-'))
  readonly #options: StrongswanOptions
  #child: ChildProcess | undefined

  private constructor(options: StrongswanOptions) {
    this.host = options.host
    this.#options = options
  }

  static async start(t: Pick<TestContext, 'after'>, options: StrongswanOptions): Promise<Strongswan> {
    const peer = new Strongswan(options)
    t.after(() => peer.#close())
    await peer.launch()
    return peer
  }

  /** Starts charon, again after `kill`; `settings` in place of those of before. */
  async launch(settings = this.#options.settings): Promise<void> {
    rmSync(this.#socket, { force: true })
    const conf = join(this.folder, 'strongswan.conf')
    writeFileSync(conf, strongswanConf(this.folder, { ...this.#options, settings: settings ?? [] }))
    // charon writes a pid file into /run: each gets a /run of its own, or a second one would not start.
    const script = `mount -t tmpfs none /run && exec env STRONGSWAN_CONF='${conf}' /usr/lib/ipsec/charon`
    const [command, ...words] = [...this.host.prefix, 'unshare', '-m', 'bash', '-c', script]
    const child = spawn(command!, words, { stdio: 'ignore' })
    this.#child = child
    while (!existsSync(this.#socket)) {
      if (child.exitCode !== null) throw new Error(`charon ended with ${child.exitCode}: ${this.log.slice(-500)}`)
      await wait(20)
    }
  }

  /** `swanctl` against this charon, to its end. */
  ctl(...words: readonly string[]): Promise<Finished> {
    const args = [...words, '--uri', `unix://${this.#socket}`]
    return new Promise((resolve) => {
      execFile('swanctl', args, { timeout: 60_000, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
        resolve({ status, stdout: String(stdout), stderr: String(stderr) })
      })
    })
  }

  /** Loads keys, certificates and connections from `swanctl.conf` in a folder as `adit-broker device add --ipsec` writes it. */
  async load(folder: string): Promise<void> {
    const { status, stdout, stderr } = await this.ctl('--load-all', '--clear', '--file', join(folder, 'swanctl.conf'))
    if (status !== 0) throw new Error(`swanctl --load-all failed: ${stdout}${stderr}`)
  }

  /** Begins a Child SA; resolves to what swanctl said, whether it came to something or not. */
  initiate(child: string, timeoutSeconds = 20): Promise<Finished> {
    return this.ctl('--initiate', '--child', child, '--timeout', String(timeoutSeconds))
  }

  /** The security associations as swanctl lists them for people. */
  async sas(): Promise<string> {
    return (await this.ctl('--list-sas')).stdout
  }

  /** The SPI by which the initiator knows the IKE SA: another one after each rekey and each new beginning. */
  async ikeSpi(): Promise<string> {
    return /(\w{16})_i/.exec(await this.sas())?.[1] ?? 'none'
  }

  /** What charon has logged since it was first started. */
  get log(): string {
    const path = join(this.folder, 'charon.log')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** Seconds of processor time that this charon has taken. */
  get processorSeconds(): number {
    return processorMicrosOf(this.pid) / 1e6
  }

  /** Without a farewell: the peer is not told. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  get #socket(): string {
    return join(this.folder, 'vici')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }

  async #close(): Promise<void> {
    await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const plugins = [
  'random nonce openssl aes sha1 sha2 hmac kdf gcm chapoly curve25519 x509 revocation constraints pubkey pkcs1 pkcs7 pkcs8 pem',
  'kernel-libipsec kernel-netlink socket-default vici updown',
].join(' ')

function strongswanConf(folder: string, options: StrongswanOptions): string {
  const { ike = 500, natT = 4500 } = options.ports ?? {}
  return [
    'charon {',
    '  load_modular = no',
    `  load = ${[plugins, ...(options.plugins ?? [])].join(' ')}`,
    '  install_routes = yes',
    `  port = ${ike}`,
    `  port_nat_t = ${natT}`,
    ...(options.settings ?? []).map((line) => `  ${line}`),
    '  filelog {',
    '    main {',
    `      path = ${join(folder, 'charon.log')}`,
    `      default = ${options.logLevel ?? 1}`,
    '      append = yes',
    '      flush_line = yes',
    '    }',
    '  }',
    '  plugins {',
    '    vici {',
    `      socket = unix://${join(folder, 'vici')}`,
    '    }',
    '  }',
    '}',
    '',
  ].join('\n')
}

export interface TestCa {
  /** PEM files of the root and of the CAs between it and the leaves, the one that signs leaves last. */
  root: string
  intermediates: readonly string[]
  /** Issues a certificate for a new key of the kind; returns the paths of both. */
  issue(name: string, kind?: KeyKind): Promise<{ key: string; certificate: string }>
}

export type KeyKind = 'ecdsa-256' | 'ecdsa-384' | 'ed25519' | 'rsa-2048' | 'rsa-3072' | 'rsa-4096'

export interface TestCaOptions {
  name?: string
  /** How many CAs stand between the root and the leaves: none. */
  intermediates?: number
  /** Of the CAs' own keys: ecdsa-256. */
  kind?: KeyKind
}

/** A certificate authority made with strongSwan's own pki(1), for peers that are not of a fleet. */
export async function testCa(folder: string, options: TestCaOptions = {}): Promise<TestCa> {
  const { name = 'Test CA', intermediates: depth = 0, kind: caKind = 'ecdsa-256' } = options
  mkdirSync(folder, { recursive: true })
  const file = (label: string): string => join(folder, label)
  const pem = ['--outform', 'pem']
  const makeKey = async (label: string, kind: KeyKind): Promise<string> => {
    const [type = 'ecdsa', size] = kind.split('-')
    await pki(file(`${label}.key`), '--gen', '--type', type, ...(size ? ['--size', size] : []), ...pem)
    return file(`${label}.key`)
  }
  const issue = async (by: Ca, label: string, key: string, ...about: readonly string[]): Promise<string> => {
    const whose = ['--in', key, '--type', 'priv', '--cacert', by.certificate, '--cakey', by.key]
    await pki(file(`${label}.pem`), '--issue', ...whose, ...about, ...pem)
    return file(`${label}.pem`)
  }

  const rootKey = await makeKey('ca', caKind)
  await pki(file('ca.pem'), '--self', '--ca', '--in', rootKey, '--type', 'priv', '--dn', `CN=${name}`, ...pem)
  let issuer: Ca = { key: rootKey, certificate: file('ca.pem') }
  const intermediates: string[] = []
  for (let n = 1; n <= depth; n++) {
    const key = await makeKey(`ca-${n}`, caKind)
    issuer = { key, certificate: await issue(issuer, `ca-${n}`, key, '--ca', '--dn', `CN=${name} ${n}`) }
    intermediates.push(issuer.certificate)
  }
  return {
    root: file('ca.pem'),
    intermediates,
    async issue(subject, kind = 'ecdsa-256') {
      const key = await makeKey(subject, kind)
      const about = ['--dn', `CN=${subject}`, '--san', subject, '--flag', 'serverAuth', '--flag', 'clientAuth']
      return { key, certificate: await issue(issuer, subject, key, ...about) }
    },
  }
}

interface Ca {
  key: string
  certificate: string
}

/** `pki`, its output into a file that only we may read. */
function pki(out: string, ...words: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('pki', words, { encoding: 'buffer' }, (error, stdout, stderr) => {
      if (error) return reject(new Error(`pki ${words[0]}: ${stderr}`))
      writeFileSync(out, stdout, { mode: 0o600 })
      resolve()
    })
  })
}
