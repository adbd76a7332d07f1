import type { Duplex } from 'node:stream'

/**
 * Carries bytes both ways between two streams, each side's backpressure to the other, until both directions have ended. The end of one
 * direction is the end of that direction alone (half-close); a failure of either stream destroys both.
 */
export function joinStreams(a: Duplex, b: Duplex, onDone: () => void): void {
  let open = 2
  const closed = (): void => {
    if (--open === 0) onDone()
  }
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.on('error', () => other.destroy())
    one.once('close', () => {
      // Closed before its peer had all that it sent (reset, killed): the peer must learn of it.
      if (!one.readableEnded) other.destroy()
      closed()
    })
    one.pipe(other)
  }
}
