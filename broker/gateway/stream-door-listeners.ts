import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import { createServer, type Server } from 'node:net'
import type { StreamDoor } from '#broker/gateway/stream-door.ts'
import { acceptWebsockets, peerOf } from '#broker/gateway/stream-door-websocket.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import { tcpStream } from '#shared/platform/tcp-stream.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { hours } from '#shared/time/instant.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'

/** Literal address, undefined: all; port 0: any free one. */
export interface Place {
  address?: string
  port: number
}

/** A port of the broker that takes streams. */
export interface StreamListener {
  readonly local: Endpoint
  close(): Promise<void>
}

/** PEM: a key and the chain that starts with its certificate. */
export interface ServerPem {
  key: string
  cert: string
}

/** Ms for a TLS handshake and for the request. */
const patience = { handshake: 10_000, headers: 10_000 }
/** How often it is looked whether the certificate was renewed. */
const lookEvery = hours(1)

/** Listens for RFC 9329. Throws AditError `port-in-use` or `config-invalid`. */
export async function listenTcp(place: Place, door: StreamDoor): Promise<StreamListener> {
  const server = createServer((socket) => {
    const peer = peerOf(socket)
    if (peer.address === '' || !door.admits(peer.address)) socket.destroy()
    else door.enter('tcp', peer, (events) => tcpStream(socket, false, events))
  })
  await listen(server, place, 'IKE over TCP')
  return { local: localOf(server), close: () => closed(server) }
}

export interface WebsocketListenerOptions {
  place: Place
  door: StreamDoor
  /** The certificate of the moment, asked for now and then: it may be renewed by another program. */
  certificate(): Promise<ServerPem>
  timers: Timers
  log: Log
}

/** Listens for WebSockets over TLS, and for nothing else. Throws AditError `port-in-use` or `config-invalid`. */
export async function listenWebsocket({
  place,
  door,
  certificate,
  timers,
  log,
}: WebsocketListenerOptions): Promise<StreamListener> {
  let current = await certificate()
  const server = secureServer(current)
  acceptWebsockets(server, door)
  await listen(server, place, 'WebSockets')
  const look = async (): Promise<void> => {
    try {
      const next = await certificate()
      if (next.cert !== current.cert) server.setSecureContext({ ...next, minVersion: 'TLSv1.2' })
      current = next
    } catch (error) {
      log.warn({ code: toAditError(error).code }, 'the certificate for WebSockets cannot be read again; the one at hand serves')
    }
    timer = again()
  }
  const again = (): Timer => timers.setTimer(lookEvery, () => void look())
  let timer = again()
  return {
    local: localOf(server),
    close() {
      timer.clear()
      server.closeAllConnections()
      return closed(server)
    },
  }
}

function secureServer(pem: ServerPem): HttpsServer {
  const options = {
    ...pem,
    minVersion: 'TLSv1.2' as const,
    handshakeTimeout: patience.handshake,
    headersTimeout: patience.headers,
    requestTimeout: patience.headers,
    connectionsCheckingInterval: patience.headers,
    maxHeaderSize: 8 * 1024,
  }
  try {
    return createHttpsServer(options, (request, response) => {
      // No body is waited for, and no connection kept.
      response.writeHead(426, { connection: 'close', upgrade: 'websocket', 'content-length': 0 }).end()
      request.resume()
    })
  } catch (cause) {
    const mend = 'Check certificate and key under [websocket]: PEM files that belong together, the leaf first.'
    throw new AditError('config-invalid', `The certificate for WebSockets cannot be used: ${(cause as Error).message}.`, mend, {
      cause,
    })
  }
}

function listen(server: Server, { address, port }: Place, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(listenError(error, endpointText({ address: address ?? '*', port }), what))
    server.once('error', failed)
    server.listen({ port, ...(address !== undefined && { host: address }) }, () => {
      server.off('error', failed)
      resolve()
    })
  })
}

function listenError(error: NodeJS.ErrnoException, place: string, what: string): Error {
  if (error.code === 'EADDRINUSE')
    return new AditError(
      'port-in-use',
      `TCP port ${place} for ${what} is in use by another program.`,
      'Stop it, or choose another.',
      {
        cause: error,
      },
    )
  if (error.code !== 'EACCES' && error.code !== 'EADDRNOTAVAIL') return error
  const mend = 'Name an address of this machine; ports below 1024 need root or CAP_NET_BIND_SERVICE.'
  return new AditError('config-invalid', `TCP port ${place} for ${what} cannot be opened: ${error.code}.`, mend, { cause: error })
}

function localOf(server: Server): Endpoint {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new TypeError('the server does not listen')
  return { address: bound.address, port: bound.port }
}

const closed = (server: Server): Promise<void> => new Promise((done) => server.close(() => done()))
