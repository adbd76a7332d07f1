import { type ResponseHead, readHead } from '#shared/platform/tcp-http-head.ts'
import { connectTcp } from '#shared/platform/tcp-proxy.ts'

/** For the question and its answer, ms. */
const PROBE_MS = 3_000
const NETWORK_AUTHENTICATION_REQUIRED = 511

/**
 * Whether an answer that came in the broker's place is that of a captive portal: 511 (RFC 6585 §6), a way to somewhere else, or a page where
 * none was asked for. `host`: whom we asked.
 */
export function isPortal({ status, headers }: ResponseHead, host: string): boolean {
  if (status === NETWORK_AUTHENTICATION_REQUIRED) return true
  if (status >= 300 && status < 400) {
    const { location = '' } = headers
    return URL.canParse(location) && new URL(location).hostname.replace(/^\[|\]$/g, '') !== host
  }
  return status >= 200 && status < 300 && /^(?:text\/html|application\/xhtml)/i.test(headers['content-type'] ?? '')
}

/** Asks the broker's host for nothing, by plain HTTP: networks with a captive portal answer that themselves. No secret is in it. */
export async function probePortal(host: string, address: string, path: string, port = 80): Promise<boolean> {
  try {
    const started = performance.now()
    const socket = await connectTcp({ host: address, port, timeoutMs: PROBE_MS })
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    const { head } = await readHead(socket, Math.max(1, PROBE_MS - (performance.now() - started)))
    socket.destroy()
    return isPortal(head, host)
  } catch {
    return false
  }
}
