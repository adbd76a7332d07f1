/**
 * Buffers for the one packet under way. They are shared by all cores of a process (5,000 simulated devices need not own 3 KB each);
 * each is borrowed for a call and given back, so that a nested call finds another one.
 */

/** Bytes: the largest outer datagram that UDP carries would be 64 KB, but nothing larger than a 9000-byte frame is ours. */
const SCRATCH_BYTES = 9216
const spare: Uint8Array[] = []

export const borrowScratch = (): Uint8Array => spare.pop() ?? new Uint8Array(SCRATCH_BYTES)

export function returnScratch(buffer: Uint8Array): void {
  spare.push(buffer)
}
