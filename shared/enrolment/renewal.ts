import { type Duration, days, hours, minutes, type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * When a certificate is renewed: at two thirds of its life, moved by up to a tenth of it so that a batch that enrolled together does
 * not return together; after a failure again and again with a growing, jittered pause; and, expired, in the renew-only lane for 400
 * days (DESIGN D4). Pure: times come in, times go out.
 */
export interface Life {
  notBefore: WallTime
  notAfter: WallTime
}

export type RenewalState =
  /** Nothing to do before `at`. */
  | { kind: 'fresh'; at: WallTime }
  /** Renew with the certificate. */
  | { kind: 'due' }
  /** Expired: renewing is all that it is good for. */
  | { kind: 'renew-only' }
  /** Beyond the lane: only a new claim helps. */
  | { kind: 'lost' }

/** How long after its end a certificate may still renew. */
export const renewOnlySpan = days(400)

const renewAt = 2 / 3
/** Part of its life by which the moment moves, early or late. */
const spread = 1 / 20

const firstPause = minutes(1)
const longestPause = hours(6)

/** `jitter`: 0 to 1, drawn once for each certificate and kept with it (a new one at every look would always pick the earliest). */
export function renewalMoment({ notBefore, notAfter }: Life, jitter: number): WallTime {
  const life = notAfter - notBefore
  return wallTime(notBefore + life * (renewAt + (clamp(jitter) * 2 - 1) * spread))
}

/** `now`: the best guess of the time; where the clock is not to be trusted, the time floor. */
export function renewalState(life: Life, now: WallTime, jitter: number): RenewalState {
  if (now > life.notAfter + renewOnlySpan) return { kind: 'lost' }
  if (now > life.notAfter) return { kind: 'renew-only' }
  const at = renewalMoment(life, jitter)
  return now >= at ? { kind: 'due' } : { kind: 'fresh', at }
}

/** The pause after `failures` failed attempts (1 and up): doubling from a minute to six hours, times 0.5 to 1.5. */
export function renewalPause(failures: number, jitter: number): Duration {
  const grown = Math.min(firstPause * 2 ** Math.min(Math.max(failures, 1) - 1, 30), longestPause)
  return (grown * (0.5 + clamp(jitter))) as Duration
}

const clamp = (jitter: number): number => Math.min(1, Math.max(0, jitter))
