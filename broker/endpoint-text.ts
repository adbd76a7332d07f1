import type { Endpoint } from '#shared/wire/endpoint.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** Host (without brackets) and port (empty where there is none). */
export function splitEndpoint(text: string): [host: string, port: string] {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(text)
  if (match === null) return [text, '']
  return [match[1] ?? match[2] ?? '', match[3] ?? '']
}

/** The literal endpoint that `text` names, or undefined. */
export function parseEndpointText(text: string): Endpoint | undefined {
  const colon = text.lastIndexOf(':')
  const address = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const digits = text.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : Number.NaN
  return colon > 0 && port <= 65_535 && tryParseAddress(address) !== undefined ? { address, port } : undefined
}
