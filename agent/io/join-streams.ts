import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** A stream that can end with RST, as the netstack's and TCP's of the system can. */
interface Resettable {
  reset?(): unknown
}

/**
 * Carries bytes both ways between two streams, each side's backpressure to the other. The end of one direction is the end of that
 * direction alone (half-close). A stream that fails, or closes without having ended, takes the other with it, by a reset where there is
 * one: nobody may take a broken connection for a finished one.
 */
export function joinStreams(a: Duplex, b: Duplex): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.on('error', () => cut(other))
    one.once('close', () => {
      if (!one.readableEnded) cut(other)
    })
    one.pipe(other)
  }
}

function cut(stream: Duplex & Resettable): void {
  if (stream.destroyed) return
  if (stream.reset) stream.reset()
  // A socket in the file system has no address, and knows no reset.
  else if (stream instanceof Socket && stream.remoteAddress !== undefined) stream.resetAndDestroy()
  else stream.destroy()
}
