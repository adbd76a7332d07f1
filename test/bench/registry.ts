import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import type { Reading } from '#shared/telemetry/reading.ts'
import type { BenchRow } from './row.ts'

export const name = 'registry'

const devices = 1_000
/** Readings in one publish: 50,000 a second in 2,500 of them. */
const batchLength = 20
/** Publishes on their way at once: each of the devices waits for its acknowledgement before it sends again. */
const inFlight = 500
const seconds = 5

/** Telemetry into the store as the broker does it: each batch waits for its own commit, on a real disk. */
export async function run(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(process.env.ADIT_BENCH_DIR ?? tmpdir(), 'adit-bench-'))
  const registry = await Registry.open(join(folder, 'data'), { clock: systemClock, suite: nativeSuite, log: silentLog })
  try {
    const ids: number[] = []
    for (let n = 0; n < devices; n += 1) {
      const device = await registry.devices.addWireguard({ name: `pi-${n}`, tunnelKey: toHex(nativeSuite.random(32)) })
      ids.push(device.id)
    }
    const latencies: number[] = []
    const next = new Map<number, number>()
    let readings = 0
    const publish = async (device: number): Promise<void> => {
      const from = next.get(device) ?? 1
      next.set(device, from + batchLength)
      const began = performance.now()
      const { inserted } = await registry.telemetry.insert([{ principalId: device, boot: 1, readings: batchOf(from) }])
      latencies.push(performance.now() - began)
      readings += inserted
    }
    const began = performance.now()
    const cpu = process.cpuUsage()
    const loop = performance.eventLoopUtilization()
    const until = began + seconds * 1_000
    await Promise.all(
      Array.from({ length: inFlight }, async (_, n) => {
        for (let turn = 0; performance.now() < until; turn += 1) await publish(ids[(n + turn * inFlight) % devices] ?? 0)
      }),
    )
    const elapsed = (performance.now() - began) / 1_000
    const used = process.cpuUsage(cpu)
    const busy = performance.eventLoopUtilization(loop)
    latencies.sort((a, b) => a - b)
    const bytes = statSync(join(folder, 'data', 'adit.db')).size
    return [
      { figure: 'telemetry stored before acknowledged', value: readings / elapsed, unit: 'readings per second', bar: '>= 50000' },
      { figure: 'telemetry batches of 20', value: latencies.length / elapsed, unit: 'per second', bar: '>= 2500' },
      { figure: 'time to commit, p50', value: at(latencies, 0.5), unit: 'ms' },
      { figure: 'time to commit, p99', value: at(latencies, 0.99), unit: 'ms' },
      { figure: 'processor per reading, all threads', value: (used.user + used.system) / readings, unit: 'us' },
      { figure: 'event loop per reading', value: (busy.active * 1_000) / readings, unit: 'us' },
      { figure: 'database per reading', value: bytes / readings, unit: 'bytes' },
    ]
  } finally {
    await registry.close()
    rmSync(folder, { recursive: true })
  }
}

const names = ['system/temperature', 'system/load', 'sensors/door', 'sensors/humidity']

const batchOf = (from: number): Reading[] =>
  Array.from({ length: batchLength }, (_, n) => ({
    seq: from + n,
    name: names[n % names.length] ?? '',
    value: 20 + Math.sin(from + n),
    unit: 'C',
    at: 1_790_000_000_000 + (from + n) * 1_000,
    quality: 0,
  }))

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
