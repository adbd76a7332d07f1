import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import type { TestContext } from 'node:test'
import { type Device, type DeviceOptions, Fleet, type FleetOptions } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { Program } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'
import type { VerifiedStream } from '#test/lab/verified-stream.ts'

export type Ends = Pick<TestContext, 'after'>

/** Of the tunnel's interface at every end. */
export const tun = 'adit0'

interface Wire {
  readonly there: string
  readonly core: string
}

/** What `reach` finds. */
export type Reached = 'connected' | 'refused' | 'silent'

export interface TunDeviceStatus {
  readonly tunnel: {
    readonly state: string
    readonly engine: string
    readonly interface: { readonly name: string; readonly problem: string | null } | null
    readonly carrier: string | null
    readonly mtu: number | null
    readonly addresses: readonly string[]
    readonly handshakes: number
  }
  readonly fleet: { readonly refusedPackets: number }
}

/**
 *   pump ─ 192.168.11.0/24 ─┐
 *                           core ─ 203.0.113.0/24 ─ hub (the broker)
 *   well ─ 192.168.12.0/24 ─┘
 *
 * Two machines and a broker's host, each a kernel of its own, with an internet between. Our programs run in them as a person starts them.
 */
export class TunBed {
  readonly internet: Internet
  readonly hub: Host
  readonly core: Host
  readonly pump: Host
  readonly well: Host
  /** Ends of the wires between `core` and each of the others: there, and at `core`. */
  readonly wires: { readonly pump: Wire; readonly well: Wire; readonly hub: Wire }
  #fleet: Fleet | undefined

  private constructor(t: Ends) {
    this.internet = Internet.open(t)
    this.hub = this.internet.host('hub')
    this.core = this.internet.host('core')
    this.pump = this.internet.host('pump')
    this.well = this.internet.host('well')
    this.wires = {
      hub: this.#wire(this.hub, '203.0.113.2/24', '203.0.113.1'),
      pump: this.#wire(this.pump, '192.168.11.2/24', '192.168.11.1'),
      well: this.#wire(this.well, '192.168.12.2/24', '192.168.12.1'),
    }
    this.core.sysctl('net.ipv4.ip_forward=1')
  }

  static async open(t: Ends, options: FleetOptions = {}): Promise<TunBed> {
    const bed = new TunBed(t)
    bed.#fleet = await Fleet.start(t, {
      ...{ prefix: bed.hub.prefix, listen: '203.0.113.2:4500', api: ':8443', words: ['--tun', tun] },
      ...options,
    })
    return bed
  }

  get fleet(): Fleet {
    assert.ok(this.#fleet)
    return this.#fleet
  }

  /** A device with a TUN on one of the two machines; `inner`: its inner IPv6 and IPv4 address. */
  async device(host: Host, name: string, options: DeviceOptions = {}): Promise<TunDevice> {
    const words = ['--tun', tun, ...(options.words ?? [])]
    const device = await this.fleet.device(name, { prefix: host.prefix, ...options, words })
    return { device, ...(await innerOf(device)) }
  }

  /** The broker's inner addresses. */
  async inner(): Promise<{ v6: string; v4: string }> {
    const { inner } = await this.fleet.admin<{ inner: string[] }>('status')
    return byFamily(inner)
  }

  /** What the broker has dropped, by reason. */
  async drops(): Promise<Readonly<Record<string, number>>> {
    const said = await inside(this.hub, 'curl', '-sSk', 'https://127.0.0.1:8443/metrics')
    const counts = [...said.matchAll(/^adit_drops_total\{reason="([^"]+)"\} (\d+)$/gm)]
    return Object.fromEntries(counts.map(([, reason, count]) => [reason!, Number(count)]))
  }

  #wire(host: Host, address: string, router: string): Wire {
    const prefix = address.split('/')[1]
    const ends = [
      { host, addresses: [address] },
      { host: this.core, addresses: [`${router}/${prefix}`] },
    ] as const
    const [there, core] = this.internet.link(...ends)
    host.ip(`route add default via ${router}`)
    return { there, core }
  }
}

export interface TunDevice {
  readonly device: Device
  readonly v6: string
  readonly v4: string
}

async function innerOf(device: Device): Promise<{ v6: string; v4: string }> {
  const status = await seen(
    () => device.status<TunDeviceStatus>(),
    ({ tunnel }) => tunnel.addresses.length > 0,
    { timeoutMs: 10_000, otherwise: (last) => `no addresses: ${JSON.stringify(last)}` },
  )
  return byFamily(status.tunnel.addresses)
}

function byFamily(addresses: readonly string[]): { v6: string; v4: string } {
  const v6 = addresses.find((address) => address.includes(':'))
  const v4 = addresses.find((address) => !address.includes(':'))
  assert.ok(v6 !== undefined && v4 !== undefined, `both families, not ${addresses}`)
  return { v6, v4 }
}

/** Waits until the interface has both addresses and answers are possible; returns `ip address` of it. */
export function interfaceUp(host: Host, { v6, v4 }: { v6: string; v4: string }): Promise<string> {
  return seen(
    () => host.ip('address show').replace(/^(?=\d+: )/gm, '\n'),
    (text) => text.includes(` ${v6}/128`) && text.includes(` ${v4}/32`),
    { timeoutMs: 15_000, otherwise: (last) => `${host.name}: no ${v6} and ${v4} in ${last}` },
  )
}

/** What a TCP connection begun by the kernel of `host` meets, and after how long. */
export async function reach(
  host: Host,
  address: string,
  port: number,
  waitMs = 2_000,
): Promise<{ met: Reached; afterMs: number }> {
  const code = `const { connect } = require('node:net'); const from = performance.now()
const say = (met) => { console.log(JSON.stringify({ met, afterMs: performance.now() - from })); process.exit() }
connect({ host: '${address}', port: ${port} }, () => say('connected')).on('error', ({ code }) => say(code === 'ECONNREFUSED' ? 'refused' : code))
setTimeout(() => say('silent'), ${waitMs})`
  return JSON.parse(await inside(host, process.execPath, '-e', code))
}

/** A command inside a host, to its end, while our own event loop goes on; returns what it says. */
export function inside(host: Host, ...words: readonly string[]): Promise<string> {
  const [command, ...more] = [...host.prefix, ...words]
  return new Promise((resolve, reject) => {
    execFile(command!, more, { timeout: 60_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${words.join(' ')}: ${error.message} ${stderr}`))
      else resolve(stdout)
    })
  })
}

/** Which of datagrams of these lengths come back whole from an echo that the kernel of `to` serves at its address. */
export async function echoed(from: Host, to: Host, address: string, port: number, lengths: readonly number[]): Promise<number[]> {
  const type = address.includes(':') ? 'udp6' : 'udp4'
  const server = `const socket = require('node:dgram').createSocket('${type}')
socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address)).bind(${port}, '${address}', () => console.log('{}'))`
  const client = `const socket = require('node:dgram').createSocket('${type}'); const back = []
const made = (length) => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + length) & 255))
socket.on('message', (bytes) => { if (bytes.equals(made(bytes.length))) back.push(bytes.length) }).on('error', () => {})
socket.connect(${port}, '${address}', () => { for (const length of ${JSON.stringify(lengths)}) socket.send(made(length)) })
const end = () => { console.log(JSON.stringify(back.sort((a, b) => a - b))); process.exit() }
setInterval(() => { if (back.length === ${lengths.length}) end() }, 50); setTimeout(end, 2000)`
  const [command, ...words] = [...to.prefix, process.execPath, '-e', server]
  const echo = Program.command(command!, words)
  try {
    await echo.event(() => true)
    return JSON.parse(await inside(from, process.execPath, '-e', client))
  } finally {
    await echo.stop()
  }
}

/** Until each end has judged so many bytes more. */
export async function carries(stream: VerifiedStream, bytes: number, timeoutMs = 100_000): Promise<void> {
  const from = stream.verified
  await Promise.race([
    stream.failed,
    seen(
      () => stream.verified,
      ({ a, b }) => Math.min(a - from.a, b - from.b) >= bytes,
      { timeoutMs, otherwise: ({ a, b }) => `only ${a - from.a} and ${b - from.b} bytes of ${bytes}` },
    ),
  ])
}
