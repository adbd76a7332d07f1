import { compareBytes } from '#shared/bytes/compare.ts'

/** The nonces of one CREATE_CHILD_SA exchange, either order. */
export type NoncePair = readonly [Uint8Array, Uint8Array]

/**
 * Of two crossing rekeys, the one with the lowest of the four nonces is redundant, and who began it deletes its result (RFC 7296 §2.8.1,
 * §2.8.2). Octet by octet, so that a nonce that is the beginning of another one is lower.
 */
export const isRedundant = (ours: NoncePair, theirs: NoncePair): boolean => compareBytes(lowest(ours), lowest(theirs)) < 0

const lowest = ([a, b]: NoncePair): Uint8Array => (compareBytes(a, b) < 0 ? a : b)
