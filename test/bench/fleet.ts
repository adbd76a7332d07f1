import { BundledBroker } from '#test/bench/bundled-broker.ts'
import { fleetData } from '#test/bench/fleet-data.ts'
import { FleetProcess } from '#test/bench/fleet-process.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { buildBundle } from '#test/lab/program.ts'

export const name = 'fleet'

/** ADIT_BENCH_DEVICES says otherwise. */
const devices = Number(process.env.ADIT_BENCH_DEVICES ?? 10_000)
const perProcess = 2_500
/** Between the last connection and the reading of the broker's memory: its garbage goes, its presence is written. */
const settleMs = 20_000
const patienceMs = 120_000

/** Idle devices of one broker process, themselves in others: its memory for each, and how soon all are back after kill -9. */
export async function run(): Promise<BenchRow[]> {
  buildBundle()
  const data = await fleetData(devices)
  const broker = await BundledBroker.start(data.folder)
  await pause(2_000)
  const empty = broker.residentBytes
  const began = performance.now()
  const orders = Array.from({ length: Math.ceil(devices / perProcess) }, (_, n) => ({
    broker: { ...data.broker, endpoint: broker.endpoint },
    devices: data.devices.slice(n * perProcess, (n + 1) * perProcess),
    inFlight: 1,
    perBatch: 1,
  }))
  const fleets = await Promise.all(orders.map((order) => FleetProcess.start(order)))
  const connected = performance.now() - began
  await pause(settleMs)
  const { counters } = await broker.status()
  const full = broker.residentBytes

  const killed = performance.now()
  await broker.kill()
  const again = await BundledBroker.start(data.folder, broker.port)
  const ready = performance.now() - killed
  const tunnels = await until(again, killed, ({ sessions }) => sessions)
  const sessions = await until(again, killed, ({ mqttClients }) => mqttClients)
  for (const fleet of fleets) fleet.stop()
  await again.stop()
  data.remove()
  return [
    {
      figure: `broker memory per idle device (tunnel, TCP, MQTT), ${counters.mqttClients} devices`,
      value: (full - empty) / counters.mqttClients / 1_024,
      unit: 'KB',
      bar: '<= 40 KB',
      beside: `resident: empty ${mib(empty)} MiB, full ${mib(full)} MiB; all connected in ${seconds(connected)} s`,
    },
    {
      figure: `tunnels of ${tunnels.count} devices back after kill -9 of the broker`,
      value: tunnels.ms / 1_000,
      unit: 's',
      bar: '<= 30 s',
      beside: `the new broker was ready after ${seconds(ready)} s`,
    },
    {
      figure: `MQTT sessions of ${sessions.count} devices back, counted from the same kill`,
      value: sessions.ms / 1_000,
      unit: 's',
      bar: '<= 30 s',
    },
  ]
}

/** When as many as all devices are counted, ms since `from`; after two minutes, how many there are. */
async function until(
  broker: BundledBroker,
  from: number,
  counted: (counters: Awaited<ReturnType<BundledBroker['status']>>['counters']) => number,
): Promise<{ count: number; ms: number }> {
  for (;;) {
    const count = counted((await broker.status()).counters)
    const ms = performance.now() - from
    if (count >= devices || ms > patienceMs) return { count, ms }
    await pause(250)
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
const seconds = (ms: number): string => (ms / 1_000).toFixed(1)
