import { RotationTown } from '#test/bench/rotation-town.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { buildBundle } from '#test/lab/program.ts'

export const name = 'rotation'

/** ADIT_BENCH_AGENTS and ADIT_BENCH_SEED say otherwise. */
const agents = Number(process.env.ADIT_BENCH_AGENTS ?? 1_000)
const seed = Number(process.env.ADIT_BENCH_SEED ?? 17)

/**
 * The root and then the CA of devices are rotated under agents that are connected all the while, but for a tenth that sleeps in each phase; the
 * broker is killed in the midst of each step and once more while agents follow, and half of the boards lose their power once in each rotation.
 */
export async function run(): Promise<BenchRow[]> {
  buildBundle()
  const town = await RotationTown.open(agents, seed)
  try {
    for (const line of ['root', 'device'] as const) await town.rotate(line)
    const { lost, registry, kills, powerCuts, rootTimes, certificateTimes, wakingTimes, brokerMegabytes } = await town.judge()
    const what = `${agents} agents, root and device CA rotated`
    return [
      {
        figure: `${what}, a tenth asleep in each phase: lost`,
        value: lost,
        unit: 'agents',
        bar: '0',
        beside: `${kills} kills -9 of the broker, ${powerCuts} boards without power once; ${registry}; broker ${brokerMegabytes} MB`,
      },
      spanRow('from a phase to the roots that it asks for, awake', rootTimes),
      spanRow('from a phase to a certificate by the next CA, awake', certificateTimes),
      spanRow('from waking up to what was slept through', wakingTimes),
    ]
  } finally {
    await town.close()
  }
}

/** Median, with what is beyond it. */
function spanRow(figure: string, times: readonly number[]): BenchRow {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number): number => (sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN) / 1_000
  const beside = `p90 ${at(0.9).toFixed(1)} s, p99 ${at(0.99).toFixed(1)} s, last ${at(1).toFixed(1)} s; ${sorted.length} times`
  return { figure: `${figure}, p50`, value: at(0.5), unit: 's', beside }
}
