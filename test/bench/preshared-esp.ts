import { createHash } from 'node:crypto'
import type { Suite } from '#shared/crypto/suite.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings } from '#shared/ikev2/ike-context.ts'
import type { ChildPolicy } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

const secret = new TextEncoder().encode('all ends of a bench know this')

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
  return new EspEndpoint({
    ...{ suite: end.suite, ports, lane },
    ike: {
      owner: {
        judge: () => {
          throw new Error('nobody shows a certificate here')
        },
        preSharedKey: () => secret,
        ppk: () => undefined,
        admit: ({ id }) => {
          const peer = end.peers.find(({ name }) => name === new TextDecoder().decode(id.data))!
          return {
            peerKey: keyOf(peer.name),
            name: peer.name,
            child: policy([network], peer.routes),
            virtualAddresses: [],
            dns: [],
          }
        },
      },
      localIds: [parseId(end.name)],
      credential: { kind: 'psk', secret },
      authorities: [],
      proposals: parseProposals(['aes256gcm16-prfsha256-x25519'], ProtocolId.Ike),
      ticketKeys: [],
      settings: defaultIkeSettings,
      wall: () => systemClock.wall(),
    },
    onFailure: (failure) => {
      throw new Error(JSON.stringify(failure))
    },
  })
}

/** Calls the peer at once. */
export function callPeer(endpoint: EspEndpoint, end: NamedEnd, { name, endpoint: at, routes }: NamedPeer) {
  const local = end.local.map((address) => `${address}/32`)
  const initiation = { expectedId: parseId(name), child: policy(local, routes) }
  return endpoint.addPeer({ peerKey: keyOf(name), endpoint: at, initiation, firstContact: true }, systemClock.now())
}

/** What an association calls the peer of that name. */
export const keyOf = (name: string): string => createHash('sha256').update(name).digest('hex')

function policy(local: readonly string[], remote: readonly string[]): ChildPolicy {
  const selector = (text: string) => fromCidr(parseCidr(text))
  return {
    proposals: parseProposals(['aes256gcm16-x25519-esn-noesn'], ProtocolId.Esp),
    localSelectors: local.map(selector),
    remoteSelectors: remote.map(selector),
    lifetime: defaultChildLifetime,
  }
}
