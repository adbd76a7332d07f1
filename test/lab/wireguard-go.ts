import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { Host } from '#test/lab/namespaces.ts'

export interface WireguardKeys {
  privateKey: string
  publicKey: string
}

/** Keys as `wg` makes them. */
export function wireguardKeys(): WireguardKeys {
  const privateKey = execFileSync('wg', ['genkey'], { encoding: 'utf8' }).trim()
  return { privateKey, publicKey: execFileSync('wg', ['pubkey'], { encoding: 'utf8', input: privateKey }).trim() }
}

export interface WireguardGoOptions {
  /** Where its interface is. */
  host: Host
  /** A file of wg-quick(8), complete. */
  config: string
  /** Where its UDP socket is: with its interface, or (`true`) in this machine's own namespace, where loopback reaches it. */
  outerHere?: boolean
  /** The program: Debian's. */
  program?: string
}

/** The first peer, as `wg show` tells. */
export interface PeerState {
  endpoint: string
  /** Seconds since 1970; 0: never. */
  latestHandshake: number
  received: number
  sent: number
}

/** wireguard-go as a process, its interface set up as wg-quick would. Interface and control socket have names of their own. */
export class WireguardGo {
  readonly name = `wg${randomBytes(4).toString('hex')}`
  readonly host: Host
  #child: ChildProcess | undefined

  private constructor(host: Host) {
    this.host = host
  }

  static async start(
    t: Pick<TestContext, 'after'>,
    { host, config, outerHere = false, program = 'wireguard-go' }: WireguardGoOptions,
  ): Promise<WireguardGo> {
    const peer = new WireguardGo(host)
    t.after(() => peer.stop())
    await peer.#launch([...(outerHere ? [] : host.prefix), program])
    // The socket stays where the process is; an interface may move (wireguard.com, "Routing & Network Namespaces").
    if (outerHere) execFileSync('ip', ['link', 'set', peer.name, 'netns', host.name])
    peer.apply(config)
    return peer
  }

  /** What wg-quick does: the keys and peers to `wg setconf`, the rest to `ip`. */
  apply(config: string): void {
    const folder = mkdtempSync(join(tmpdir(), 'adit-wg-'))
    try {
      const path = join(folder, 'wg.conf')
      writeFileSync(path, stripped(config), { mode: 0o600 })
      execFileSync('wg', ['setconf', this.name, path])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    const [mtu = '1420'] = values(config, 'MTU')
    this.host.ip(`link set ${this.name} mtu ${mtu} up`)
    for (const address of values(config, 'Address')) this.host.addAddress(address, this.name)
    for (const network of values(config, 'AllowedIPs')) {
      this.host.ip(`${network.includes(':') ? '-6 ' : ''}route replace ${network} dev ${this.name}`)
    }
  }

  /** `wg set`, for what a user changes by hand. */
  set(...words: readonly string[]): void {
    execFileSync('wg', ['set', this.name, ...words])
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** Its UDP port. */
  get port(): number {
    return Number(execFileSync('wg', ['show', this.name, 'listen-port'], { encoding: 'utf8' }))
  }

  get peer(): PeerState {
    const said = execFileSync('wg', ['show', this.name, 'dump'], { encoding: 'utf8' })
    const [, , endpoint = '', , handshake = '0', received = '0', sent = '0'] = said.trim().split('\n')[1]?.split('\t') ?? []
    return { endpoint, latestHandshake: Number(handshake), received: Number(received), sent: Number(sent) }
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }

  async #launch(program: readonly string[]): Promise<void> {
    const [command, ...words] = [...program, '-f', this.name]
    const env = { ...process.env, WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'error' }
    const child = spawn(command!, words, { env, stdio: 'ignore' })
    this.#child = child
    while (!existsSync(`/var/run/wireguard/${this.name}.sock`)) {
      if (child.exitCode !== null) throw new Error(`wireguard-go ended with ${child.exitCode}`)
      await wait(20)
    }
  }
}

/** Keys that wg-quick takes for itself (wg-quick(8)). */
const quickKeys = /^\s*(?:Address|DNS|MTU|Table|PreUp|PostUp|PreDown|PostDown|SaveConfig)\s*=/i

const stripped = (config: string): string =>
  config
    .split('\n')
    .filter((line) => !quickKeys.test(line))
    .join('\n')

/** The values of a key that takes a list. */
export function values(config: string, key: string): string[] {
  return config
    .split('\n')
    .map((line) => /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(line))
    .filter((match) => match?.[1]?.toLowerCase() === key.toLowerCase())
    .flatMap((match) => match![2]!.split(/\s*,\s*/))
    .filter((value) => value !== '')
}
