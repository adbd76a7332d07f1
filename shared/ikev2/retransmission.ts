import type { Dice } from '#shared/time/backoff.ts'
import { type Duration, milliseconds } from '#shared/time/instant.ts'
import type { IkeSettings } from './ike-context.ts'

/** Each wait is so many times the last one. */
const GROWTH = 1.8
/** A wait differs from its plan by at most this share, so that a fleet does not repeat itself in step. */
const JITTER = 0.1

/**
 * How long to wait after the `attempt`th sending (from 1) of a request. Where a round trip is known, no wait is shorter than twice that:
 * a slow path is not answered with more of the same.
 */
export function retransmitAfter(attempt: number, settings: IkeSettings, roundTrip: Duration | undefined, dice: Dice): Duration {
  const first = Math.max(settings.retryBase, 2 * (roundTrip ?? 0))
  const planned = Math.max(Math.min(settings.retryCap, first * GROWTH ** (attempt - 1)), 2 * (roundTrip ?? 0))
  return milliseconds(planned * (1 - JITTER + 2 * JITTER * dice()))
}
