/**
 * Buffers for the one datagram under way, shared by all endpoints of a process: thousands of simulated agents need not own one each.
 * A nested call finds another one.
 */

/** Bytes: any datagram of a 1500-byte path; larger ones get memory of their own. */
const SCRATCH_BYTES = 2048
const spare: Uint8Array[] = []

export function borrowScratch(bytes: number): Uint8Array {
  return bytes <= SCRATCH_BYTES ? (spare.pop() ?? new Uint8Array(SCRATCH_BYTES)) : new Uint8Array(bytes)
}

export function returnScratch(buffer: Uint8Array): void {
  if (buffer.length === SCRATCH_BYTES) spare.push(buffer)
}
