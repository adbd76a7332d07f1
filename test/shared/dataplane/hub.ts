/** A hub's data plane and two clients, each a real WireGuard endpoint, joined by direct calls: no socket, no clock. */

import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { DataPlane } from '#shared/dataplane/data-plane.ts'
import { FlowFilter, type FlowPolicy } from '#shared/dataplane/flow-filter.ts'
import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import type { Association, Endpoint } from '#shared/tunnel/association.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'

const hubAt: Endpoint = { address: '192.0.2.1', port: 4500 }

export interface Client {
  readonly at: Endpoint
  readonly address: string
  readonly endpoint: WireguardEndpoint
  readonly hub: WireguardAssociation
  /** The hub's association with this client. */
  readonly association: Association
  /** Inner packets that arrived here. */
  readonly received: Uint8Array[]
  /** Seals an inner packet for the hub; the datagram is not delivered. */
  seal(packet: Uint8Array): Uint8Array
}

export class Hub {
  readonly plane: DataPlane
  readonly noise: WireguardEndpoint
  readonly delivered: Uint8Array[] = []
  readonly spoofed: Association[] = []
  readonly tooBig: Association[] = []
  readonly clients: Client[] = []
  /** Outer datagrams that the hub has sent since it was emptied. */
  readonly sent: { datagram: Uint8Array; to: Endpoint }[] = []
  now: Instant = instant(1_000)
  #steps = 0n

  constructor(policy: FlowPolicy) {
    const transmit = (datagram: Uint8Array, to: Endpoint): boolean => this.#carry(datagram, to)
    this.noise = new WireguardEndpoint({
      suite: nativeSuite,
      staticKey: nativeSuite.x25519.generate(),
      ports: { transmit, event: () => undefined },
      nextTimestamp: () => tai64n(++this.#steps),
      admit: () => ({}),
    })
    this.plane = new DataPlane({
      noise: this.noise,
      filter: new FlowFilter(policy, 7),
      ports: {
        transmit,
        deliver: (packet) => this.delivered.push(packet.slice()),
        spoofed: (_packet: InnerPacket, from) => this.spoofed.push(from),
        tooBig: (to) => this.tooBig.push(to),
      },
    })
  }

  join(address: string): Client {
    const at = { address: `198.51.100.${this.clients.length + 1}`, port: 50_000 }
    const out = new Uint8Array(2_048)
    const received: Uint8Array[] = []
    const staticKey = nativeSuite.x25519.generate()
    const endpoint = new WireguardEndpoint({
      suite: nativeSuite,
      staticKey,
      ports: { transmit: (datagram) => this.plane.receive(datagram.slice(), at, this.now), event: () => undefined },
      nextTimestamp: () => tai64n(++this.#steps),
    })
    const hub = endpoint.addPeer({ publicKey: this.noise.publicKey, endpoint: hubAt }, this.now)
    const seal = (packet: Uint8Array): Uint8Array => {
      const size = hub.seal(packet, packet.length, out, this.now)
      if (size < 0) throw new Error(`not sealed: ${size}`)
      return out.slice(0, size)
    }
    const client = { at, address, endpoint, hub, received, seal, association: undefined as unknown as Association }
    this.clients.push(client)
    endpoint.initiate(hub, this.now)
    client.association = this.noise.association(toHex(staticKey.publicKey))!
    this.plane.routes.insert(address, client.association)
    return client
  }

  /** A datagram arrives at the hub. */
  arrive(datagram: Uint8Array, from: Endpoint): number {
    return this.plane.receive(datagram, from, this.now)
  }

  #carry(datagram: Uint8Array, to: Endpoint): boolean {
    this.sent.push({ datagram: datagram.slice(), to })
    const client = this.clients.find(({ at }) => at.address === to.address && at.port === to.port)
    if (client === undefined) return true
    const bytes = datagram.slice()
    if (bytes[0] !== 4) client.endpoint.handleControl(bytes, hubAt, this.now)
    else {
      const out = new Uint8Array(2_048)
      const length = client.endpoint.open(bytes, hubAt, out, this.now)
      if (length > 0) client.received.push(out.slice(0, length))
    }
    return true
  }
}
