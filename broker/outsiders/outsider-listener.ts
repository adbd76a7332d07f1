import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { AditError, toAditError } from '#shared/errors.ts'
import { OCSP_REQUEST_LIMIT } from '#shared/pki/ocsp-request.ts'
import type { Log } from '#shared/platform/log.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import type { OutsiderAnswer, OutsiderDesk } from './outsider-desk.ts'

/** Literal address, undefined: all; port 0: any free one. */
export interface OutsiderPlace {
  readonly address?: string
  readonly port: number
}

export interface OutsiderListener {
  /** `http://ADDR:PORT`, with the port that was taken. */
  readonly url: string
  close(): Promise<void>
}

/** Ms for the headers and for the whole request; connections at a time. */
const patience = { headers: 5_000, request: 10_000 }
const mostConnections = 256

/**
 * The desk for outsiders over plain HTTP, and nothing else: who fetches a list or asks for a status verifies the signature on it, and
 * most such programs speak no TLS (asking for the status of TLS over TLS goes round in a circle). Throws AditError `port-in-use` or
 * `config-invalid`.
 */
export async function listenForOutsiders(place: OutsiderPlace, desk: OutsiderDesk, log: Log): Promise<OutsiderListener> {
  const server = createServer(
    { headersTimeout: patience.headers, requestTimeout: patience.request, maxHeaderSize: 16 * 1024, keepAliveTimeout: 5_000 },
    (request, response) => {
      respond(request, response, desk).catch((error: unknown) => {
        log.warn({ code: toAditError(error).code }, 'an outsider could not be answered')
        if (!response.headersSent) response.writeHead(500, { connection: 'close' })
        response.end()
      })
    },
  )
  server.maxConnections = mostConnections
  const { address, port } = place
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, place)))
    server.listen({ port, ...(address !== undefined && { host: address }) }, resolve)
  })
  const bound = server.address()
  const taken = typeof bound === 'object' && bound !== null ? bound : { address: address ?? '::', port }
  return {
    url: `http://${endpointText({ address: taken.address, port: taken.port })}`,
    close() {
      server.closeAllConnections()
      return new Promise((done) => server.close(() => done()))
    },
  }
}

async function respond(request: IncomingMessage, response: ServerResponse, desk: OutsiderDesk): Promise<void> {
  const answer = await answerTo(request, desk)
  const body = request.method === 'HEAD' ? Buffer.alloc(0) : Buffer.from(answer.body)
  response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.body.length })
  response.end(body)
  // What is left of a body nobody wants.
  request.resume()
}

async function answerTo(request: IncomingMessage, desk: OutsiderDesk): Promise<OutsiderAnswer> {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  if (request.method === 'GET' || request.method === 'HEAD') return (await desk.get(path)) ?? nothing(404)
  if (request.method !== 'POST') return nothing(405)
  if (path !== '/ocsp' && path !== '/ocsp/') return nothing(404)
  if (request.headers['content-type']?.split(';', 1)[0]?.trim() !== 'application/ocsp-request') return nothing(415)
  const body = await bodyOf(request)
  return body === undefined ? nothing(413) : desk.ocsp(body)
}

/** Undefined where it is longer than any request that is read. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length
    if (length > OCSP_REQUEST_LIMIT) return undefined
    parts.push(part)
  }
  return Uint8Array.from(Buffer.concat(parts))
}

const nothing = (status: number): OutsiderAnswer => ({ status, headers: { connection: 'close' }, body: new Uint8Array() })

function listenError(error: NodeJS.ErrnoException, { address = '*', port }: OutsiderPlace): Error {
  const place = endpointText({ address, port })
  if (error.code === 'EADDRINUSE')
    return new AditError(
      'port-in-use',
      `TCP port ${place} for CRL and OCSP is in use by another program.`,
      'Stop it, or choose another: [pki] http.',
    )
  const mend = 'Name an address of this machine under [pki] http; ports below 1024 need root or CAP_NET_BIND_SERVICE.'
  return new AditError('config-invalid', `TCP port ${place} for CRL and OCSP cannot be opened: ${error.code}.`, mend, {
    cause: error,
  })
}
