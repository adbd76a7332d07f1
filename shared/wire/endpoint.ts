/** An outer address: literal IPv4 or IPv6 (no brackets, no zone unless link-local) and UDP port; or a carrier and port 0. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** What may bear datagrams instead of UDP: a WebSocket (DESIGN D8), TCP (RFC 9329), or the hub's tunnel (DESIGN D6). */
export type Carrier = 'websocket' | 'tcp' | 'overlay'

/** The endpoint at the far end of one such way; `number` tells it from others of this process and means nothing outside. */
export const carriedBy = (carrier: Carrier, number: number): Endpoint => ({ address: `${carrier}/${number}`, port: 0 })

/** Whether datagrams to it go by another way than UDP. */
export const isCarried = ({ port }: Endpoint): boolean => port === 0

/** What bears datagrams there; undefined: UDP. */
export const carrierOf = (endpoint: Endpoint): Carrier | undefined =>
  isCarried(endpoint) ? (endpoint.address.slice(0, endpoint.address.indexOf('/')) as Carrier) : undefined

/** Shells may reuse the object that they describe senders with: what is kept is a copy. */
export const copyEndpoint = ({ address, port }: Endpoint): Endpoint => ({ address, port })

export const sameEndpoint = (a: Endpoint | undefined, b: Endpoint | undefined): boolean =>
  a !== undefined && b !== undefined && a.port === b.port && a.address === b.address

/** `address:port`, or `[address]:port` of IPv6; a host name stands as an address does, and a carrier by itself: `websocket/3`. */
export const endpointText = ({ address, port }: { address: string; port: number | string }): string => {
  if (port === 0 && address.includes('/')) return address
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
