import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { StreamDoor } from '#broker/gateway/stream-door.ts'
import { backlogLimit, type DatagramStream, longestMessage, type StreamEvents } from '#shared/platform/datagram-stream.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

/** Where a broker takes WebSockets that bear datagrams. */
export const tunnelPath = '/v1/tunnel'

/**
 * Takes the WebSockets of an HTTPS server to the door: one datagram a binary message (DESIGN D8). No certificate is asked of the client,
 * since the suite inside proves who it is; a web page of somebody else's is refused by its Origin, compression is off.
 */
export function acceptWebsockets(server: Server, door: StreamDoor): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: longestMessage,
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    const refusal = refusalOf(request, door)
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const peer = peerOf(request.socket)
    sockets.handleUpgrade(request, socket, head, (websocket) => {
      door.enter('websocket', peer, (events) => websocketStream(websocket, events))
    })
  })
}

function refusalOf({ url = '', headers, socket }: IncomingMessage, door: StreamDoor): string | undefined {
  if (url.split('?', 1)[0] !== tunnelPath) return '404 Not Found'
  const { origin, host } = headers
  if (origin !== undefined && hostOf(origin) !== host?.toLowerCase()) return '403 Forbidden'
  if (!door.admits(peerOf(socket).address)) return '503 Service Unavailable'
  return undefined
}

const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined)

/** A dual-stack socket shows IPv4 as `::ffff:a.b.c.d`. */
export const peerOf = ({ remoteAddress = '', remotePort = 0 }: Socket): Endpoint => ({
  address: remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''),
  port: remotePort,
})

function websocketStream(websocket: WebSocket, events: StreamEvents): DatagramStream {
  let ended: string | undefined
  const close = (why: string): void => {
    ended ??= why
    // Whoever is refused is not waited for.
    websocket.terminate()
  }
  websocket.on('message', (data, isBinary) => {
    if (ended !== undefined) return
    if (isBinary) events.datagram(new Uint8Array(data as Buffer))
    else close('a message that is no datagram')
  })
  websocket.on('pong', () => events.alive())
  websocket.on('error', (error) => (ended ??= error.message))
  websocket.on('close', () => events.closed(ended ?? 'the far end closed it'))
  return {
    send(datagram) {
      if (websocket.readyState !== websocket.OPEN || websocket.bufferedAmount > backlogLimit) return false
      // It is read after this call.
      websocket.send(Buffer.from(datagram), { binary: true })
      return true
    },
    ping: () => websocket.readyState === websocket.OPEN && websocket.ping(),
    close,
  }
}
