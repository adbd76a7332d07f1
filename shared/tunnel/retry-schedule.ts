import type { Dice } from '#shared/time/backoff.ts'
import { type Duration, milliseconds } from '#shared/time/instant.ts'
import {
  EAGER_RETRIES,
  EAGER_RETRY,
  FIRST_RETRY,
  LONG_SILENCE,
  RAREST_RETRY,
  REKEY_TIMEOUT,
  RETRY_JITTER,
} from './wireguard-constants.ts'

/** `eager`: no session, or one that has fallen silent; `calm`: a rekey while the session still works. */
export type RetryMood = 'eager' | 'calm'

/**
 * How long to wait for an answer to the `attempt`-th initiation (1, 2, …) before the next one.
 *
 *   eager   0.5 s, then 12 times 1 s, each at least 2 RTT where one was measured; then as calm
 *   calm    5 s + up to 333 ms (white paper §6.4); after two minutes of silence growing with its square, up to 60 s
 */
export function retryDelay(
  mood: RetryMood,
  attempt: number,
  silentFor: Duration,
  roundTrip: Duration | undefined,
  dice: Dice,
): Duration {
  const patience = 2 * (roundTrip ?? 0)
  if (mood === 'eager' && attempt <= 1) return milliseconds(Math.max(FIRST_RETRY, patience) + jitter(FIRST_RETRY, dice))
  if (mood === 'eager' && attempt <= 1 + EAGER_RETRIES)
    return milliseconds(Math.max(EAGER_RETRY, patience) + jitter(EAGER_RETRY, dice))
  if (silentFor < LONG_SILENCE) return milliseconds(Math.max(REKEY_TIMEOUT, patience) + dice() * RETRY_JITTER)
  const rarer = Math.min(RAREST_RETRY, REKEY_TIMEOUT * (silentFor / LONG_SILENCE) ** 2)
  return milliseconds(rarer * (1 - dice() / 3))
}

/** A tenth of the wait, at most the white paper's 333 ms. */
const jitter = (wait: Duration, dice: Dice): number => dice() * Math.min(RETRY_JITTER, wait / 10)
