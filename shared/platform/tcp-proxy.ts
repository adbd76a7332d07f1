import { connect, type Socket } from 'node:net'
import { AditError } from '#shared/errors.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { readHead } from './tcp-http-head.ts'

/** A proxy that leads TCP connections on when asked by HTTP CONNECT (RFC 9110 §9.3.6). */
export interface HttpProxy {
  readonly host: string
  readonly port: number
  /** `user:password`, or nothing. A secret: it is in no message and no log. */
  readonly credentials?: string
}

interface Place {
  /** Literal address, or a name where a proxy or the system is to resolve it. */
  readonly host: string
  readonly port: number
}

export interface TcpTarget extends Place {
  readonly proxy?: HttpProxy | undefined
  /** For all of it, ms. */
  readonly timeoutMs: number
}

/**
 * A TCP connection, through a proxy or not. Throws AditError `proxy-auth` where the proxy wants (other) credentials, `proxy-refused`
 * where it refuses or does not get there, and as the system says where nobody is reached.
 */
export async function connectTcp(target: TcpTarget): Promise<Socket> {
  const { proxy, timeoutMs } = target
  if (proxy === undefined) return dial(target, timeoutMs)
  const started = performance.now()
  const socket = await dial(proxy, timeoutMs)
  const left = Math.max(100, timeoutMs - (performance.now() - started))
  const authority = endpointText({ address: target.host, port: target.port })
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization(proxy)}\r\n`)
  const { head, rest } = await readHead(socket, left)
  if (head.status >= 200 && head.status < 300 && rest.length === 0) return socket
  socket.destroy()
  throw refusal(head.status, proxy, authority)
}

function dial({ host, port }: Place, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    const timer = setTimeout(
      () => socket.destroy(new Error(`${endpointText({ address: host, port })} does not answer`)),
      timeoutMs,
    )
    const failed = (error: Error): void => {
      clearTimeout(timer)
      reject(error)
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', failed)
      resolve(socket)
    })
  })
}

const authorization = ({ credentials }: HttpProxy): string =>
  credentials === undefined ? '' : `Proxy-Authorization: Basic ${Buffer.from(credentials, 'utf8').toString('base64')}\r\n`

function refusal(status: number, proxy: HttpProxy, authority: string): AditError {
  const place = endpointText({ address: proxy.host, port: proxy.port })
  if (status === 407 || status === 401) {
    const said = proxy.credentials === undefined ? 'wants a user and a password' : 'does not accept this user and password'
    const mend = 'Give them in the proxy setting: http://USER:PASSWORD@HOST:PORT.'
    return new AditError('proxy-auth', `The proxy ${place} ${said}.`, mend)
  }
  const message = `The proxy ${place} does not lead to ${authority} (it answers ${status}).`
  return new AditError(
    'proxy-refused',
    message,
    'Ask who runs the proxy to allow CONNECT to that host and port; 443 is most often allowed.',
  )
}
