import { lookup } from 'node:dns/promises'
import type { Socket } from 'node:net'
import type { ProxyFact } from '#agent/doctor/facts.ts'
import { readHead } from './http-head.ts'
import { openTcp } from './tcp.ts'

const patienceMs = 4_000

export interface ProxySetting {
  /** `http://[NAME:PASSWORD@]HOST:PORT`. */
  readonly url: string
  /** Where it was said, for a person. */
  readonly from: string
}

/** The proxy of the environment, as curl and others read it. */
export function proxyOfEnvironment(env: NodeJS.ProcessEnv = process.env): ProxySetting | undefined {
  for (const name of ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']) {
    const url = env[name]
    if (url) return { url: url.includes('://') ? url : `http://${url}`, from: name }
  }
  return undefined
}

/** Asks the proxy for a way to `target`. Its name and password go to nobody but itself. */
export async function probeProxy({ url, from }: ProxySetting, target: string): Promise<{ fact: ProxyFact; socket?: Socket }> {
  if (!URL.canParse(url)) return { fact: { address: 'unreadable', from, reached: 'unreachable' } }
  const { hostname, port, username, password } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const address = `${hostname}:${port || 8080}`
  const found = await lookup(host).catch(() => undefined)
  if (found === undefined) return { fact: { address, from, reached: 'unreachable' } }
  const opened = await openTcp({ address: found.address, port: Number(port || 8080) })
  if ('reached' in opened) return { fact: { address, from, reached: opened.reached } }
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')
  const authorization = username === '' ? '' : `Proxy-Authorization: Basic ${credentials}\r\n`
  const head = await readHead(opened.socket, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`, patienceMs)
  const fact: ProxyFact = { address, from, reached: 'open', ...(head && { status: head.status }) }
  if (head?.status === 200) return { fact, socket: opened.socket }
  opened.socket.destroy()
  return { fact }
}
