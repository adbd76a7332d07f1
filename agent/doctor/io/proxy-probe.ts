import { lookup } from 'node:dns/promises'
import type { Socket } from 'node:net'
import type { ProxyFact } from '#agent/doctor/facts.ts'
import type { HttpProxy } from '#shared/platform/tcp-proxy.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { readHead } from './http-head.ts'
import { openTcp } from './tcp.ts'

const patienceMs = 4_000

/** Asks the proxy for a way to `target`, `HOST:PORT`. Its name and password go to nobody but itself. */
export async function probeProxy(
  { host, port, credentials }: HttpProxy,
  target: string,
): Promise<{ fact: ProxyFact; socket?: Socket }> {
  const address = endpointText({ address: host, port })
  const from = 'of the configuration or HTTPS_PROXY'
  const found = await lookup(host).catch(() => undefined)
  if (found === undefined) return { fact: { address, from, reached: 'unreachable' } }
  const opened = await openTcp({ address: found.address, port })
  if ('reached' in opened) return { fact: { address, from, reached: opened.reached } }
  const basic = Buffer.from(credentials ?? '').toString('base64')
  const authorization = credentials === undefined ? '' : `Proxy-Authorization: Basic ${basic}\r\n`
  const head = await readHead(opened.socket, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`, patienceMs)
  const fact: ProxyFact = { address, from, reached: 'open', ...(head && { status: head.status }) }
  if (head?.status === 200) return { fact, socket: opened.socket }
  opened.socket.destroy()
  return { fact }
}
