import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { Strongswan, type StrongswanOptions } from '#test/lab/strongswan.ts'

/** A broker at 10.99.0.1 and fd99::1, and hosts beside it for stock IPsec peers. */
export class IpsecTown {
  readonly internet: Internet
  readonly srv: Host
  readonly #hub: Host
  #fleet: Fleet | undefined
  #inner: string[] = []
  #hosts = 0

  private constructor(internet: Internet) {
    this.internet = internet
    this.srv = internet.host('srv')
    this.#hub = this.srv
  }

  /** `config`: lines of the broker's adit-broker.toml. */
  static async open(t: Pick<TestContext, 'after'>, config?: string): Promise<IpsecTown> {
    const town = new IpsecTown(Internet.open(t))
    const options = { prefix: town.srv.prefix, listen: ':4500', api: '127.0.0.1:8443' }
    town.#fleet = await Fleet.start(t, { ...options, ...(config !== undefined && { config }) })
    town.#inner = (await town.fleet.admin<{ inner: string[] }>('status')).inner
    return town
  }

  get fleet(): Fleet {
    return this.#fleet!
  }

  /** The broker's inner addresses. */
  get inner(): readonly string[] {
    return this.#inner
  }

  /** A host on a wire of its own to the broker: 10.99.N.2 to 10.99.N.1, and fd99:0:0:N::2 to ::1. */
  host(label: string): Host {
    const host = this.internet.host(label)
    const net = this.#hosts++
    this.internet.link(
      { host, addresses: [`10.99.${net}.2/24`, `fd99:0:0:${net}::2/64`] },
      { host: this.#hub, addresses: [`10.99.${net}.1/24`, `fd99:0:0:${net}::1/64`] },
    )
    return host
  }

  /** Registers a peer; returns the folder that was written for it. */
  async register(name: string, host: number, ...words: readonly string[]): Promise<string> {
    const out = join(this.fleet.folder, `ipsec-${name}`)
    await this.fleet.admin(
      'device',
      'add',
      '--ipsec',
      '--name',
      name,
      '--endpoint',
      `10.99.${host}.1:4500`,
      ...words,
      '--out',
      out,
    )
    return out
  }

  /** A registered peer with strongSwan running, the folder loaded as it was written, or as `edit` changed it. */
  async peer(t: Pick<TestContext, 'after'>, name: string, options: PeerOptions = {}): Promise<StrongswanPeer> {
    const net = this.#hosts
    const host = this.host(name)
    const folder = await this.register(name, net, ...(options.words ?? []))
    if (options.edit) editConf(folder, options.edit)
    const swan = await Strongswan.start(t, { host, ...options.charon })
    await swan.load(folder)
    return new StrongswanPeer(name, host, swan, folder)
  }
}

export interface PeerOptions {
  /** More words of `device add`. */
  words?: readonly string[]
  /** Changes swanctl.conf before it is loaded. */
  edit?: (conf: string) => string
  charon?: Omit<StrongswanOptions, 'host'>
}

export class StrongswanPeer {
  readonly name: string
  readonly host: Host
  readonly swan: Strongswan
  readonly folder: string

  constructor(name: string, host: Host, swan: Strongswan, folder: string) {
    this.name = name
    this.host = host
    this.swan = swan
    this.folder = folder
  }

  /** Begins connection and child `adit`, and fails with charon's log where that comes to nothing. */
  async up(): Promise<void> {
    const { status, stdout, stderr } = await this.swan.initiate('adit')
    if (status !== 0) throw new Error(`${this.name} did not connect: ${stdout}${stderr}`)
  }

  /** Begins, and returns what charon said when that came to nothing. */
  async refused(): Promise<string> {
    const { status, stdout, stderr } = await this.swan.initiate('adit', 10)
    if (status === 0) throw new Error(`${this.name} connected: ${stdout}`)
    return stdout + stderr
  }

  async reload(edit: (conf: string) => string): Promise<void> {
    editConf(this.folder, edit)
    await this.swan.load(this.folder)
  }

  /** Resolves when `swanctl --list-sas` matches; fails after `timeoutMs`. */
  async until(pattern: RegExp, timeoutMs = 10_000): Promise<string> {
    const end = performance.now() + timeoutMs
    for (;;) {
      const said = await this.swan.sas()
      if (pattern.test(said)) return said
      if (performance.now() > end) throw new Error(`${this.name}: no ${pattern} within ${timeoutMs} ms in:\n${said}`)
      await wait(100)
    }
  }
}

function editConf(folder: string, edit: (conf: string) => string): void {
  const path = join(folder, 'swanctl.conf')
  writeFileSync(path, edit(readFileSync(path, 'utf8')))
}

/** Sets `key = value` wherever the key stands in swanctl.conf. */
export const setting =
  (key: string, value: string) =>
  (conf: string): string => {
    const pattern = new RegExp(`^(\\s*)${key}\\s*=.*$`, 'gm')
    if (!pattern.test(conf)) throw new Error(`swanctl.conf has no ${key}:\n${conf}`)
    return conf.replace(pattern, `$1${key} = ${value}`)
  }
