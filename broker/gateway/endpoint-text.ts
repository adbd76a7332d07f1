import type { Endpoint } from '#shared/tunnel/association.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** "address:port", or "[address]:port" of IPv6. */
export function endpointText({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** The literal endpoint that `text` names, or undefined. */
export function parseEndpointText(text: string): Endpoint | undefined {
  const colon = text.lastIndexOf(':')
  const address = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const digits = text.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : Number.NaN
  return colon > 0 && port <= 65_535 && tryParseAddress(address) !== undefined ? { address, port } : undefined
}
