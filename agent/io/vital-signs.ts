import { readdir, readFile, statfs } from 'node:fs/promises'
import { freemem, loadavg, totalmem, uptime } from 'node:os'
import type { Sample } from '#shared/telemetry/outbox.ts'
import { Quality, type ReadingValue } from '#shared/telemetry/reading.ts'

/** Where Linux shows them; a test gives another root. */
export interface VitalSources {
  readonly thermal: string
  readonly meminfo: string
  readonly net: string
  /** The file system whose room matters: that of the state folder. */
  readonly disk: string
}

export const linuxSources = (stateFolder: string): VitalSources => ({
  thermal: '/sys/class/thermal',
  meminfo: '/proc/meminfo',
  net: '/sys/class/net',
  disk: stateFolder,
})

/**
 * The machine's own readings: temperature of the hottest zone, load of a minute, memory and disk used, uptime, and the state of each
 * network link. What this system does not show is left out.
 */
export async function readVitalSigns(sources: VitalSources, at: number, quality: number = Quality.good): Promise<Sample[]> {
  const signs: [name: string, value: ReadingValue | undefined, unit: string | null][] = [
    ['system/temperature', await hottest(sources.thermal), '°C'],
    ['system/load', round(loadavg()[0] ?? 0, 2), null],
    ['system/memory', await memoryUsed(sources.meminfo), '%'],
    ['system/disk', await diskUsed(sources.disk), '%'],
    ['system/uptime', Math.floor(uptime()), 's'],
    ['system/link', await links(sources.net), null],
  ]
  return signs.flatMap(([name, value, unit]) => (value === undefined ? [] : [{ name, value, unit, at, quality }]))
}

/** Zones are in thousandths of a degree. */
async function hottest(folder: string): Promise<number | undefined> {
  const zones = await namesIn(folder, /^thermal_zone\d+$/)
  const values = await Promise.all(zones.map(async (zone) => Number(await textOf(`${folder}/${zone}/temp`)) / 1000))
  const sane = values.filter((value) => Number.isFinite(value) && value > -100 && value < 200)
  return sane.length === 0 ? undefined : round(Math.max(...sane), 1)
}

/** MemAvailable counts what caches would give back, as a person means it; elsewhere than on Linux there is only "free". */
async function memoryUsed(meminfo: string): Promise<number> {
  const text = (await textOf(meminfo)) ?? ''
  const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1])
  const [total, available] = [kilobytes('MemTotal'), kilobytes('MemAvailable')]
  const share = total > 0 && available >= 0 ? available / total : freemem() / totalmem()
  return round(100 * (1 - share), 1)
}

async function diskUsed(path: string): Promise<number | undefined> {
  try {
    const { blocks, bavail } = await statfs(path)
    return blocks === 0 ? undefined : round(100 * (1 - bavail / blocks), 1)
  } catch {
    return undefined
  }
}

/** {eth0: 'up', wlan0: 'down'}; loopback is no link. */
async function links(folder: string): Promise<Record<string, string> | undefined> {
  const names = (await namesIn(folder, /^(?!lo$)[\w.@-]{1,32}$/)).slice(0, 16)
  if (names.length === 0) return undefined
  const states = await Promise.all(names.map(async (name) => [name, (await textOf(`${folder}/${name}/operstate`)) ?? 'unknown']))
  return Object.fromEntries(states)
}

const namesIn = async (folder: string, pattern: RegExp): Promise<string[]> =>
  (await readdir(folder).catch(() => [])).filter((name) => pattern.test(name)).sort()

const textOf = async (path: string): Promise<string | undefined> =>
  readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  )

const round = (value: number, digits: number): number => Number(value.toFixed(digits))
