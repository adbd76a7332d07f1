/** An outer address: literal IPv4 or IPv6 (no brackets, no zone unless link-local) and UDP port. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** Shells may reuse the object that they describe senders with: what is kept is a copy. */
export const copyEndpoint = ({ address, port }: Endpoint): Endpoint => ({ address, port })

export const sameEndpoint = (a: Endpoint | undefined, b: Endpoint | undefined): boolean =>
  a !== undefined && b !== undefined && a.port === b.port && a.address === b.address

/** `address:port`, or `[address]:port` of IPv6; a host name stands as an address does. */
export const endpointText = ({ address, port }: { address: string; port: number | string }): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
