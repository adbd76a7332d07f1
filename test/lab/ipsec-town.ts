import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { NegotiationDocument } from '#broker/registry/negotiation-document.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { seen } from '#test/lab/seen.ts'
import { Strongswan, type StrongswanOptions } from '#test/lab/strongswan.ts'

export interface TownOptions {
  /** The broker's config.toml. */
  config?: string
  /** Where the broker runs instead of a host of the town's own. */
  srv?: Host
}

/** A broker at 10.99.0.1 and fd99::1, and hosts beside it for stock IPsec peers. One town serves many peers: a broker takes seconds to start. */
export class IpsecTown {
  readonly internet: Internet
  readonly srv: Host
  readonly fleet: Fleet
  /** The broker's inner addresses. */
  readonly inner: readonly string[]
  #hosts = 0

  private constructor(internet: Internet, srv: Host, fleet: Fleet, inner: readonly string[]) {
    this.internet = internet
    this.srv = srv
    this.fleet = fleet
    this.inner = inner
  }

  static async open(t: Pick<TestContext, 'after'>, { config, srv }: TownOptions = {}): Promise<IpsecTown> {
    const internet = Internet.open(t)
    const host = srv ?? internet.host('srv')
    const options = { prefix: host.prefix, listen: ':4500', api: '127.0.0.1:8443' }
    const fleet = await Fleet.start(t, { ...options, ...(config !== undefined && { config }) })
    const { inner } = await fleet.admin<{ inner: string[] }>('status')
    return new IpsecTown(internet, host, fleet, inner)
  }

  /** A host on a wire of its own to the broker: 10.99.N.2 to 10.99.N.1, and fd99:0:0:N::2 to ::1. */
  host(label: string): Host {
    const host = this.internet.host(label)
    const net = this.#hosts++
    this.internet.link(
      { host, addresses: [`10.99.${net}.2/24`, `fd99:0:0:${net}::2/64`] },
      { host: this.srv, addresses: [`10.99.${net}.1/24`, `fd99:0:0:${net}::1/64`] },
    )
    return host
  }

  /** Registers a peer that finds the broker at `endpoint`; returns the folder that was written for it. */
  async register(name: string, endpoint: string, ...words: readonly string[]): Promise<string> {
    const out = join(this.fleet.folder, `ipsec-${name}`)
    await this.fleet.admin('device', 'add', '--ipsec', '--name', name, '--endpoint', endpoint, ...words, '--out', out)
    return out
  }

  /** A registered peer with strongSwan running, the folder loaded as it was written, or as `edit` changed it. */
  async peer(t: Pick<TestContext, 'after'>, name: string, options: PeerOptions = {}): Promise<StrongswanPeer> {
    const { edit, endpoint = `10.99.${this.#hosts}.1:4500`, words = [], charon } = options
    const host = options.host ?? this.host(name)
    const folder = await this.register(name, endpoint, ...words)
    const swan = await Strongswan.start(t, { host, ...charon })
    const peer = new StrongswanPeer(name, host, swan, folder, endpoint.slice(0, endpoint.lastIndexOf(':')))
    await peer.load(edit)
    return peer
  }

  /** Negotiations that failed, the last one first. */
  negotiations(): Promise<NegotiationDocument[]> {
    return this.fleet.admin<NegotiationDocument[]>('negotiations')
  }

  /** The last failed negotiation once there is one after the row `after`; fails after ten seconds. */
  async negotiationAfter(after: number): Promise<NegotiationDocument> {
    const [last] = await seen(
      () => this.negotiations(),
      ([newest]) => newest !== undefined && newest.id > after,
      { timeoutMs: 10_000, otherwise: ([newest]) => `no negotiation was recorded after ${JSON.stringify(newest)}` },
    )
    return last!
  }
}

export interface PeerOptions {
  /** More words of `device add`. */
  words?: readonly string[]
  /** Changes swanctl.conf before it is loaded. */
  edit?: (conf: string) => string
  charon?: Omit<StrongswanOptions, 'host'>
  /** Where it runs, and `ADDR:PORT` at which it finds the broker: on a wire of its own to the broker unless given. */
  host?: Host
  endpoint?: string
}

export class StrongswanPeer {
  readonly name: string
  readonly host: Host
  readonly swan: Strongswan
  readonly folder: string
  /** The broker's outer address. */
  readonly gateway: string
  readonly #conf: string
  /** swanctl.conf as `device add` wrote it. */
  readonly #written: string

  constructor(name: string, host: Host, swan: Strongswan, folder: string, gateway: string) {
    this.name = name
    this.host = host
    this.swan = swan
    this.folder = folder
    this.gateway = gateway
    this.#conf = join(folder, 'swanctl.conf')
    this.#written = readFileSync(this.#conf, 'utf8')
  }

  /** Loads swanctl.conf as it was written or as `edit` changes that; an edit does not outlive the next one. */
  async load(edit: (conf: string) => string = (conf) => conf): Promise<void> {
    writeFileSync(this.#conf, edit(this.#written))
    await this.swan.load(this.folder)
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

  /** Ends the connection and loads as `load` does. */
  async reload(edit?: (conf: string) => string): Promise<void> {
    await this.down()
    await this.load(edit)
  }

  /** Ends the IKE SA, whether the broker answers or not. */
  async down(): Promise<void> {
    await this.swan.ctl('--terminate', '--ike', 'adit', '--timeout', '2', '--force')
  }

  /** Resolves to the milliseconds until one ping was answered; fails after `timeoutMs`. */
  async reaches(address: string, timeoutMs = 20_000): Promise<number> {
    const from = performance.now()
    while ((await this.host.pings(address, 1)) === 0) {
      if (performance.now() - from > timeoutMs)
        throw new Error(`${this.name} does not reach ${address}:\n${await this.swan.sas()}`)
    }
    return Math.round(performance.now() - from)
  }

  /** Resolves when `swanctl --list-sas` matches; fails after `timeoutMs`. */
  async until(pattern: RegExp, timeoutMs = 10_000): Promise<string> {
    const enough = (said: string): boolean => pattern.test(said)
    const otherwise = (said: string): string => `${this.name}: no ${pattern} within ${timeoutMs} ms in:\n${said}`
    return seen(() => this.swan.sas(), enough, { timeoutMs, otherwise })
  }
}

/** Sets `key = value` wherever the key stands in swanctl.conf. */
export const setting =
  (key: string, value: string) =>
  (conf: string): string => {
    const pattern = new RegExp(`^(\\s*)${key}\\s*=.*$`, 'gm')
    if (!pattern.test(conf)) throw new Error(`swanctl.conf has no ${key}:\n${conf}`)
    return conf.replace(pattern, `$1${key} = ${value}`)
  }

/** Adds `key = value` to the connection. */
export const connectionSetting =
  (key: string, value: string) =>
  (conf: string): string =>
    conf.replace(/^( *)version = 2$/m, `$&\n$1${key} = ${value}`)

/** One edit after the other. */
export const edits =
  (...all: readonly ((conf: string) => string)[]) =>
  (conf: string): string =>
    all.reduce((text, edit) => edit(text), conf)
