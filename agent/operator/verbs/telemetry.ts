import type { OperatorContext } from '#agent/operator/context.ts'
import type { OperatorApi, Reading } from '#agent/operator/operator-api.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { printable } from '#shared/terminal/printable.ts'
import { table } from '#shared/terminal/table.ts'

export interface TelemetryOptions {
  follow: boolean
  /** ISO 8601 time, or a span before now: `90s`, `15m`, `2h`, `7d`. */
  since?: string
  /** Readings of this name alone. */
  name?: string
}

const pageSize = 500
const beginning = '1970-01-01T00:00:00Z'
/** Seconds that one request waits for something new: below the idle time of common middleboxes. */
const waitSeconds = 30

/**
 * `adit telemetry DEVICE`: a person sees the latest page, or what came `--since`; a program (`--json`, one reading a line) gets every
 * stored reading, or those since. `--follow` goes on with those that come.
 */
export async function telemetry(context: OperatorContext, device: string, options: TelemetryOptions): Promise<void> {
  const deviceName = checkName(device)
  const begin = options.since ?? (context.json ? beginning : undefined)
  const since = begin === undefined ? undefined : timeOf(begin, context.clock.wall())
  const filter = { ...(options.name !== undefined && { name: options.name }) }
  const api = await context.api()
  const print = printer(context)

  let page = await api.telemetry(deviceName, { ...filter, limit: pageSize, ...(since !== undefined && { since }) })
  await print(page.readings)
  for (let before: string | undefined; since !== undefined && page.next !== before; ) {
    before = page.next
    page = await api.telemetry(deviceName, { ...filter, limit: pageSize, since, after: before })
    await print(page.readings)
  }
  for (let after = page.next; options.follow; after = page.next) {
    page = await follow(context, () => api.telemetry(deviceName, { ...filter, limit: pageSize, wait: waitSeconds, after }))
    await print(page.readings)
  }
}

/** A follower outlives a broker that restarts: it asks again until it is answered. */
async function follow<T>(context: OperatorContext, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isAditError(error) || error.code !== 'broker-unreachable') throw error
      await context.pause(2_000)
    }
  }
}

type Page = Awaited<ReturnType<OperatorApi['telemetry']>>

function printer(context: OperatorContext): (readings: Page['readings']) => Promise<void> {
  let headed = false
  return async (readings) => {
    if (readings.length === 0) return
    if (context.json) return context.write(readings.map((reading) => `${JSON.stringify(reading)}\n`).join(''))
    const rows = readings.map(row)
    await context.write(
      headed ? rows.map((cells) => `${followed(cells)}\n`).join('') : table([['AT', 'NAME', 'VALUE', 'UNIT'], ...rows]),
    )
    headed = true
  }
}

const row = ({ at, name, value, unit }: Reading): string[] => [
  at,
  name,
  typeof value === 'string' ? value : JSON.stringify(value),
  unit ?? '',
]

/** Later rows cannot know how wide the table became, so they keep to usual widths. */
const followed = ([at = '', name = '', value = '', unit = '']: readonly string[]): string =>
  `${at}  ${printable(name).padEnd(20)}  ${printable(value).padEnd(12)}  ${printable(unit)}`.trimEnd()

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function timeOf(text: string, now: number): string {
  const span = /^(\d{1,9})([smhd])$/.exec(text)
  const at = span ? now - Number(span[1]) * unitMs[span[2]!]! : Date.parse(text)
  if (Number.isNaN(at))
    throw new AditError('usage', `"${printable(text)}" is no time.`, 'Give --since as 15m, 2h, 7d or 2026-01-31T12:00:00Z.')
  return new Date(at).toISOString()
}
