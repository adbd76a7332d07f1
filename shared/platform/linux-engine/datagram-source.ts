import type { Endpoint } from '#shared/wire/endpoint.ts'

/** Where a datagram came from. One object describes many, one after the other: what is kept is a copy. */
export interface DatagramSource {
  /** The socket address of its sender, as the kernel gave it; empty: it came by another way than a socket of the lane's. */
  readonly address: Uint8Array
  readonly endpoint: Endpoint
}
