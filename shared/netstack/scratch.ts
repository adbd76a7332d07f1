/** Room for one packet of any size, with both faces on the same memory. */
export interface Scratch {
  readonly bytes: Buffer
  readonly view: DataView
}

const SIZE = 65_600

const spare: Scratch[] = []

/**
 * Borrows room for one packet. All stacks of a process share a few: work on a packet never waits for anything, so no more are needed
 * than stacks call one another in a row.
 */
export function takeScratch(): Scratch {
  const scratch = spare.pop()
  if (scratch !== undefined) return scratch
  const bytes = Buffer.allocUnsafeSlow(SIZE)
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, SIZE) }
}

export function returnScratch(scratch: Scratch): void {
  spare.push(scratch)
}
