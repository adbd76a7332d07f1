import { type Duration, seconds } from '#shared/time/instant.ts'
import type { NumberSpace } from './packet-number.ts'

/** Bytes before and behind a payload, at most: header 8, IV 16, padding 15, trailer 2, ICV 32. */
export const ESP_MAX_OVERHEAD = 73
/** Packets behind the newest that are still taken (RFC 4303 §3.4.3 asks for 64 at least). */
export const ESP_REPLAY_WINDOW = 8192

/**
 * Packets that one key may number, whatever the policy says. They begin with 1. Without ESN the last is 2^32 - 1 (RFC 4303 §3.3.3),
 * and a new key is asked for at half of them; with it 2^64 - 2^40 and 2^60.
 */
export const SEQUENCE_NUMBERS: NumberSpace = { first: 1, softHigh: 0, softLow: 2 ** 31, lastHigh: 0, lastLow: 0xffff_ffff }
export const EXTENDED_NUMBERS: NumberSpace = { first: 1, softHigh: 2 ** 28, softLow: 0, lastHigh: 2 ** 32 - 2 ** 8, lastLow: 0 }

/** A Child SA that was replaced or deleted still opens what is under way. */
export const RETIRED_TIME: Duration = seconds(5)
/** Up to this part is taken off soft limits, so that what came up together is not renewed together. */
export const SOFT_JITTER = 0.1
