import { createHash } from 'node:crypto'
import type { Suite } from '#shared/crypto/suite.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import type { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { childPolicy, espEndpoint } from '#test/shared/platform/town-esp.ts'

/** Another end, known beforehand: its name, and the inner prefixes behind it. */
export interface NamedPeer {
  readonly name: string
  readonly endpoint: Endpoint | undefined
  readonly routes: readonly string[]
}

export interface NamedEnd {
  readonly suite: Suite
  readonly name: string
  /** Inner addresses. */
  readonly local: readonly string[]
  readonly peers: readonly NamedPeer[]
}

/** An endpoint of the esp suite whose ends share a secret: AES-256-GCM. Traffic selectors let all of `network` through. */
export function presharedEsp(end: NamedEnd, network: string, ports: EspPorts, lane: DataLane | undefined): EspEndpoint {
  return espEndpoint(end.suite, end.name, ports, lane, (name) => {
    const peer = end.peers.find((one) => one.name === name)!
    return { peerKey: keyOf(name), name, child: childPolicy([network], peer.routes), virtualAddresses: [], dns: [] }
  })
}

/** Calls the peer at once. */
export function callPeer(endpoint: EspEndpoint, end: NamedEnd, { name, endpoint: at, routes }: NamedPeer) {
  const initiation = { expectedId: parseId(name), child: childPolicy(end.local, routes) }
  return endpoint.addPeer({ peerKey: keyOf(name), endpoint: at, initiation, firstContact: true }, systemClock.now())
}

/** What an association calls the peer of that name. */
export const keyOf = (name: string): string => createHash('sha256').update(name).digest('hex')
