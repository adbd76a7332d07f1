import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Registry } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import type { FleetOrder } from '#test/bench/fleet-child.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { BrokerProcess } from '#test/broker/broker-process.ts'

export const name = 'fleet'

/** Devices that stay idle while the broker's memory is read; ADIT_BENCH_DEVICES says otherwise. */
const idleDevices = Number(process.env.ADIT_BENCH_DEVICES ?? 10_000)
const perProcess = 2_500
const publishers = 100
const perBatch = 20
const inFlight = 2
const publishMs = 10_000

/** One broker process, its devices in others: memory per idle device, and readings on disk before their acknowledgement. */
export async function run(): Promise<BenchRow[]> {
  return [...(idleDevices > 0 ? await idle() : []), ...(await telemetry())]
}

async function idle(): Promise<BenchRow[]> {
  const { folder, devices, end } = await enlisted(idleDevices)
  const empty = await BrokerProcess.start(folder, { nodeArguments: ['--expose-gc'] })
  await empty.ask()
  const before = residentBytes(empty)
  const fleets: Fleet[] = []
  for (let at = 0; at < devices.length; at += perProcess)
    fleets.push(await Fleet.start(empty, { devices: devices.slice(at, at + perProcess), inFlight, perBatch }))
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  const { status, memory } = await empty.ask()
  const after = residentBytes(empty)
  const start = performance.now()
  await empty.kill()
  const again = await BrokerProcess.start(folder, { port: empty.port })
  let sessions = 0
  while (sessions < devices.length && performance.now() - start < 120_000) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    sessions = (await again.ask()).status.sessions
  }
  const back = (performance.now() - start) / 1_000
  for (const fleet of fleets) fleet.stop()
  await again.stop()
  end()
  return [
    {
      figure: `broker memory per idle device (tunnel, TCP, MQTT), ${status.counters.mqttClients} devices`,
      value: (after - before) / status.counters.mqttClients / 1_024,
      unit: 'KB',
      bar: '<= 40 KB',
      beside: `empty ${mib(before)} MiB, full ${mib(after)} MiB, of it heap ${mib(memory.heapUsed)} MiB`,
    },
    {
      figure: `tunnels of ${sessions} devices back after the broker was killed`,
      value: back,
      unit: 's',
      bar: '<= 30 s',
    },
  ]
}

async function telemetry(): Promise<BenchRow[]> {
  const { folder, devices, end } = await enlisted(publishers)
  const broker = await BrokerProcess.start(folder, {
    nodeArguments: (process.env.ADIT_BENCH_NODE ?? '').split(' ').filter(Boolean),
  })
  const fleet = await Fleet.start(broker, { devices, inFlight, perBatch })
  const { cpu: before } = await broker.ask()
  const { publishes, readings, ms } = await fleet.publish(publishMs)
  const { status, cpu: after } = await broker.ask()
  const cpuMicros = (after.user + after.system - before.user - before.system) / publishes
  fleet.stop()
  await broker.stop()
  end()
  const publishesPerSecond = Math.round((publishes * 1_000) / ms)
  return [
    {
      figure: `readings through ${publishers} tunnels, on disk before acknowledged`,
      value: (readings * 1_000) / ms,
      unit: 'per second',
      bar: '>= 50,000',
      beside: `in ${publishesPerSecond} publishes/s, bar >= 2,500; ${((status.counters.outerReceived + status.counters.outerSent) / publishes).toFixed(1)} datagrams and broker's CPU ${Math.round(cpuMicros)} us a publish; ${status.counters.readings} stored`,
    },
  ]
}

class Fleet {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child
    this.#lines = lines
  }

  static async start(broker: BrokerProcess, order: Omit<FleetOrder, 'broker'>): Promise<Fleet> {
    const script = new URL('./fleet-child.ts', import.meta.url).pathname
    const child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    const { ready } = broker
    const known = { ...ready, tunnelKey: toHex(ready.tunnelKey), inner: [...ready.inner], routes: [...ready.routes] }
    child.stdin!.write(`${JSON.stringify({ ...order, broker: known } satisfies FleetOrder)}\n`)
    const fleet = new Fleet(child, lines)
    await fleet.#answer()
    return fleet
  }

  async publish(ms: number): Promise<{ publishes: number; readings: number; ms: number }> {
    this.#child.stdin!.write(`publish ${ms}\n`)
    return (await this.#answer()) as { publishes: number; readings: number; ms: number }
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }

  async #answer(): Promise<unknown> {
    const { value } = await this.#lines.next()
    if (value === undefined) throw new Error('the fleet process ended')
    return JSON.parse(value)
  }
}

/** A data folder with `count` registered devices. */
async function enlisted(count: number): Promise<{ folder: string; devices: FleetOrder['devices']; end(): void }> {
  const parent = mkdtempSync(join(tmpdir(), 'adit-fleet-'))
  const folder = join(parent, 'data')
  const registry = await Registry.open(folder, { clock: systemClock, suite: nativeSuite, log: silentLog })
  const devices: FleetOrder['devices'] = []
  for (let i = 0; i < count; i++) {
    const { publicKey, privateKey } = nativeSuite.x25519.generate()
    const { name, addresses } = await registry.devices.addWireguard({ name: `d-${i}`, tunnelKey: toHex(publicKey) })
    devices.push({ name, privateKey: toHex(privateKey), addresses: [...addresses] })
  }
  await registry.close()
  return { folder, devices, end: () => rmSync(parent, { recursive: true }) }
}

function residentBytes(broker: BrokerProcess): number {
  const status = readFileSync(`/proc/${broker.child.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1_024
}

const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
