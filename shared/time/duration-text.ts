import { AditError } from '#shared/errors.ts'
import { type Duration, milliseconds } from './instant.ts'

const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }
const longest = 100 * 365 * 86_400_000

/** A span as people write it: `25s`, `30m`, `24h`, `7d`, `1h30m`; undefined where it is none, or longer than a century. */
export function tryParseDuration(text: string): Duration | undefined {
  if (!/^(\d{1,9}(ms|s|m|h|d|w))+$/.test(text)) return undefined
  let total = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)) total += Number(count) * (units[unit ?? ''] ?? 0)
  return total <= longest ? milliseconds(total) : undefined
}

/** Throws AditError `usage`; `what` is shown: "--ttl". */
export function parseDuration(text: string, what: string): Duration {
  const duration = tryParseDuration(text)
  if (duration !== undefined) return duration
  throw new AditError('usage', `${what} is no span of time.`, 'Write it with a unit: 25s, 30m, 24h, 7d.')
}

/** The shortest text that `parseDuration` reads back: `1h30m`. */
export function formatDuration(duration: Duration): string {
  let rest = Math.round(duration)
  if (rest <= 0) return '0s'
  let text = ''
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = units[unit] ?? 1
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text
}
