import type { Socket } from 'node:net'
import { lineLimit } from '#agent/operator/tunnel-protocol.ts'

/**
 * The first line of a connection; what follows it stays in the socket, unread, for whoever reads the raw bytes. Undefined where the
 * connection ends, or the line grows beyond its limit, before there is one.
 */
export function readFirstLine(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let length = 0
    const done = (line: string | undefined): void => {
      socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onEnd)
      resolve(line)
    }
    const onEnd = (): void => done(undefined)
    const onReadable = (): void => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        const at = chunk.indexOf(0x0a)
        if (at >= 0) {
          if (at + 1 < chunk.length) socket.unshift(chunk.subarray(at + 1))
          parts.push(chunk.subarray(0, at))
          done(Buffer.concat(parts).toString('utf8'))
          return
        }
        parts.push(chunk)
        length += chunk.length
        if (length > lineLimit) {
          done(undefined)
          return
        }
      }
    }
    socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd).on('error', onEnd)
  })
}
