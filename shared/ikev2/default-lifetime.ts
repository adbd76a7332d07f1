import { hours, minutes } from '#shared/time/instant.ts'
import type { Lifetime } from './peer-policy.ts'

/** Sequence numbers of 32 bits end at 2^32: without ESN a Child SA is renewed a good while before. */
const PACKETS = 2 ** 31

/**
 * Of Child SAs, where nobody says otherwise: an hour, as is usual in the field. Bytes and packets end above what an hour of a field link
 * brings and below what counters and ciphers bear.
 */
export const defaultChildLifetime: Lifetime = {
  softTime: minutes(60),
  hardTime: hours(1.1),
  softBytes: 2 ** 40,
  hardBytes: 1.25 * 2 ** 40,
  softPackets: PACKETS,
  hardPackets: 1.5 * PACKETS,
}
