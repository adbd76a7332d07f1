/** An outer address: literal IPv4 or IPv6 (no brackets, no zone unless link-local) and UDP port. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

export const sameEndpoint = (a: Endpoint | undefined, b: Endpoint | undefined): boolean =>
  a !== undefined && b !== undefined && a.port === b.port && a.address === b.address
