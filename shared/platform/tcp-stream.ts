import type { Socket } from 'node:net'
import { encodeTcpFrame, longestFramed, streamPrefix, TcpFrameReader } from '#shared/wire/ike-tcp-frame.ts'
import { backlogLimit, type DatagramStream, type StreamEvents } from './datagram-stream.ts'

/** TCP asks by itself whether an idle peer lives, after so many ms: no datagram has to (RFC 9329 §7.6). */
const keepAliveMs = 60_000

/** Datagrams of IKE and ESP over a TCP connection (RFC 9329). `opener`: we opened it, and begin with the prefix. */
export function tcpStream(socket: Socket, opener: boolean, events: StreamEvents): DatagramStream {
  const reader = new TcpFrameReader({ opener: !opener })
  let ended: string | undefined
  socket.setNoDelay(true)
  socket.setKeepAlive(true, keepAliveMs)
  const close = (why: string): void => {
    ended ??= why
    socket.destroy()
  }
  socket.on('data', (chunk: Buffer) => {
    try {
      // The owner may end the stream at any of them.
      reader.push(chunk, (datagram) => ended === undefined && events.datagram(datagram))
    } catch (error) {
      close((error as Error).message)
    }
  })
  socket.on('error', (error) => (ended ??= error.message))
  socket.on('end', () => close('the far end closed it'))
  socket.on('close', () => events.closed(ended ?? 'the connection ended'))
  if (opener) socket.write(streamPrefix)
  return {
    send(datagram) {
      if (ended !== undefined || socket.destroyed || datagram.length > longestFramed) return false
      if (socket.writableLength > backlogLimit) return false
      socket.write(encodeTcpFrame(datagram))
      return true
    },
    ping() {},
    close,
  }
}
