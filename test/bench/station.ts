import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StationDesk } from '#agent/station/io/station-desk.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { encodeBundle } from '#shared/enrolment/unit-bundle.ts'
import { canStation, openCanned } from '#test/agent/station/canned-station.ts'
import type { BenchRow } from './row.ts'

export const name = 'station'

const units = 3_000
/** Boards on their way at once: a line with several cards in their readers. */
const inFlight = 64
const oneByOne = 200

/** A station by itself, over a ledger on a real disk: keys, certificate, bundle, and every step of it durable. */
export async function run(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(process.env.ADIT_BENCH_DIR ?? tmpdir(), 'adit-bench-'))
  const { desk, ledger, prove } = await openCanned(canStation(units + oneByOne), join(folder, 'ledger.db'))
  try {
    let next = 0
    const cpu = process.cpuUsage()
    const began = performance.now()
    const road = async (): Promise<void> => {
      while (next < units) {
        next += 1
        await one(desk, `board-${next}`)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, road))
    const elapsed = (performance.now() - began) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const perUnit = (user + system) / units
    const times: number[] = []
    for (let n = 0; n < oneByOne; n += 1) {
      const at = performance.now()
      await one(desk, `card-${n}`)
      times.push(performance.now() - at)
    }
    times.sort((a, b) => a - b)
    const proving = performance.now()
    const { entries } = await prove()
    const proven = (performance.now() - proving) / 1_000
    return [
      { figure: 'units opened, issued and delivered offline', value: units / elapsed, unit: 'per second', bar: '>= 300' },
      { figure: 'the same on one core, of all threads’ time', value: 1_000_000 / perUnit, unit: 'per second', bar: '>= 300' },
      { figure: 'overhead of a unit, image way without the write, p50', value: at(times, 0.5), unit: 'ms', bar: '<= 50' },
      { figure: 'overhead of a unit, image way without the write, p99', value: at(times, 0.99), unit: 'ms', bar: '<= 50' },
      { figure: 'ledger entries proven', value: entries / proven, unit: 'per second' },
      powerCuts(),
    ]
  } finally {
    await ledger.close()
    rmSync(folder, { recursive: true })
  }
}

async function one(desk: StationDesk, serial: string): Promise<void> {
  await desk.open(serial, 'image')
  encodeBundle(await desk.bundle(serial), nativeSuite)
  desk.step(serial, 'writing', 0)
  desk.step(serial, 'verifying')
  await desk.delivered(serial, 'not written')
}

/** The test that judges them says how many there were; it fails where one lost or doubled a unit. */
function powerCuts(): BenchRow {
  const file = join(import.meta.dirname, '../interop/station-power-cuts.test.ts')
  const node = ['--import', 'tsx', '--test', '--test-name-pattern', 'power cuts', file]
  const { stdout, status } = spawnSync(process.execPath, node, { encoding: 'utf8', cwd: join(import.meta.dirname, '../..') })
  const cuts = /(\d+) power cuts/.exec(stdout)?.[1]
  if (status !== 0 || cuts === undefined) throw new Error('a power cut lost or doubled a unit: make interop says which')
  return { figure: 'random power cuts in a batch, 0 units lost, 0 doubled', value: Number(cuts), unit: 'cuts', bar: '>= 1000' }
}

const at = (sorted: readonly number[], part: number): number => sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN
