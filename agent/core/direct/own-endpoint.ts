import type { TunnelEvent } from '#shared/tunnel/association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { DirectHost } from './direct-host.ts'

/** Who is told of what the associations send and become. */
interface EndpointOwner {
  transmits(datagram: Uint8Array, to: Endpoint, association: unknown): boolean
  tunnelEvent(event: TunnelEvent): void
}

/** The endpoint of our associations where the hub speaks another suite: it admits nobody whom its owner has not added. */
export const ownEndpoint = ({ suite, tunnelKey, nextTimestamp }: DirectHost, owner: EndpointOwner): WireguardEndpoint =>
  new WireguardEndpoint({
    suite,
    staticKey: tunnelKey,
    nextTimestamp,
    admit: () => undefined,
    ports: {
      transmit: (datagram, to, association) => void owner.transmits(datagram, to, association),
      event: (event) => owner.tunnelEvent(event),
    },
  })
