import type { PlainHttpFact } from '#agent/doctor/facts.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { readHead } from './http-head.ts'
import { openTcp } from './tcp.ts'

const patienceMs = 3_000

/** Asks the broker's own host by plain HTTP, where nobody but a portal has reason to answer. The question says nothing of who asks. */
export async function probePlainHttp(host: string, endpoint: Endpoint): Promise<PlainHttpFact> {
  const opened = await openTcp(endpoint)
  if ('reached' in opened) return { endpoint, reached: opened.reached }
  try {
    const authority = host.includes(':') ? `[${host}]` : host
    const head = await readHead(opened.socket, `GET / HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`, patienceMs)
    const redirectedTo = head && head.status >= 300 && head.status < 400 ? hostOf(head.headers.location, host) : undefined
    return { endpoint, reached: 'open', ...(head && { status: head.status }), ...(redirectedTo && { redirectedTo }) }
  } finally {
    opened.socket.destroy()
  }
}

function hostOf(location: string | undefined, base: string): string | undefined {
  try {
    return new URL(location ?? '', `http://${base.includes(':') ? `[${base}]` : base}/`).hostname.replace(/^\[|\]$/g, '')
  } catch {
    return undefined
  }
}
