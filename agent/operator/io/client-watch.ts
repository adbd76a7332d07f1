import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Timers } from '#shared/platform/timers.ts'
import { seconds } from '#shared/time/instant.ts'

/** How long a connection may carry nothing before its client is looked for. */
const stillness = seconds(15)

/**
 * Finds out that a client is gone where its end alone does not tell: after a half-close the end of the process looks no different, and
 * behind bytes that the device does not take it is not read at all. A write of no bytes fails (EPIPE) once the client has closed both
 * directions, and does nothing otherwise; the failed socket then takes the device's stream with it (`joinStreams`). Only a connection
 * that has not moved since the last look is tried, so that the last words of a client that left are still delivered.
 */
export function watchClient(socket: Socket, stream: Duplex, timers: Timers): void {
  let lastRead = -1
  let lastUnsent = -1
  const look = (): void => {
    const { bytesRead } = socket
    const unsent = stream.writableLength
    const isStill = bytesRead === lastRead && unsent === lastUnsent
    // Bytes that wait to be written find out by themselves.
    if (isStill && socket.writable && socket.writableLength === 0) socket.write(Buffer.alloc(0))
    lastRead = bytesRead
    lastUnsent = unsent
    timer = timers.setTimer(stillness, look)
  }
  let timer = timers.setTimer(stillness, look)
  socket.once('close', () => timer.clear())
}
