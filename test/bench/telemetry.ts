import { BundledBroker } from '#test/bench/bundled-broker.ts'
import { fleetData } from '#test/bench/fleet-data.ts'
import { FleetProcess } from '#test/bench/fleet-process.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { buildBundle } from '#test/lab/program.ts'

export const name = 'telemetry'

const devices = 200
/** As the agent's uplink does: four batches on their way. */
const inFlight = 4
const perBatch = 20
const ms = Number(process.env.ADIT_BENCH_MS ?? 10_000)
const warmUpMs = 2_000

/** Readings through tunnels into one broker: each publish awaits the PUBACK that follows its commit on disk. */
export async function run(): Promise<BenchRow[]> {
  buildBundle()
  const data = await fleetData(devices)
  const broker = await BundledBroker.start(data.folder)
  const fleet = await FleetProcess.start({
    broker: { ...data.broker, endpoint: broker.endpoint },
    devices: data.devices,
    inFlight,
    perBatch,
  })
  await fleet.publish(warmUpMs)
  const before = { cpu: broker.cpuMicros, counters: (await broker.status()).counters }
  const { publishes, readings, p50, p99, cpuMicros } = await fleet.publish(ms)
  const after = { cpu: broker.cpuMicros, counters: (await broker.status()).counters }
  fleet.stop()
  await broker.stop()
  data.remove()
  const stored = after.counters.readings - before.counters.readings
  const datagrams = (counters: typeof before.counters): number => counters.outerReceived + counters.outerSent
  const each = (value: number): number => (value * perBatch) / stored
  return [
    {
      figure: `readings through ${devices} tunnels, on disk before acknowledged`,
      value: (readings * 1_000) / ms,
      unit: 'per second',
      bar: '>= 50,000',
      beside: `${stored} stored`,
    },
    { figure: `publishes of ${perBatch} readings`, value: (publishes * 1_000) / ms, unit: 'per second', bar: '>= 2,500' },
    { figure: 'from publish to PUBACK, p50', value: p50, unit: 'ms', beside: `p99 ${Math.round(p99)} ms` },
    {
      figure: "broker's processor per publish, all threads",
      value: each(after.cpu - before.cpu),
      unit: 'us',
      beside: `devices, on the same machine: ${Math.round(each(cpuMicros))} us`,
    },
    {
      figure: 'datagrams per publish, both ways',
      value: each(datagrams(after.counters) - datagrams(before.counters)),
      unit: '',
    },
  ]
}
