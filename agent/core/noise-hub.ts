import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, EndpointPorts } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import { paddedLength } from '#shared/tunnel/padding.ts'
import { PADDING, SEAL_OVERHEAD } from '#shared/tunnel/wireguard-constants.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { type AgentConfig, brokerTunnelKey } from './agent-config.ts'
import type { BrokerMemory, EstablishedEvent, Hub } from './hub.ts'

/** Bytes: the inner MTU that an endpoint pads up to. */
const PADDED_UP_TO = 1280

export interface NoiseHubOptions {
  readonly suite: Suite
  readonly tunnelKey: KeyPair
  readonly ports: EndpointPorts
  /** The next TAI64N, 12 bytes, above every one before it (`shared/tunnel/tai64n.ts`). */
  nextTimestamp(): Uint8Array
  readonly lane?: DataLane | undefined
}

/** The broker over the noise suite. */
export class NoiseHub implements Hub {
  readonly endpoint: WireguardEndpoint
  readonly lapses = true

  constructor({ suite, tunnelKey, ports, nextTimestamp, lane }: NoiseHubOptions) {
    // An agent knows one peer; nobody else is let in.
    this.endpoint = new WireguardEndpoint({ suite, staticKey: tunnelKey, ports, nextTimestamp, lane, admit: () => undefined })
  }

  brokerKey(config: AgentConfig): string {
    return config.broker.tunnelKey
  }

  join(config: AgentConfig, endpoint: Endpoint | undefined, now: Instant): Association {
    return this.endpoint.addPeer({ publicKey: brokerTunnelKey(config), endpoint, firstContact: true }, now)
  }

  /** A session that works is renewed by us: a broker that asks for one knows none. To an initiation of ours all brokers answer alike. */
  memory({ association }: EstablishedEvent): BrokerMemory {
    return this.endpoint.association(association.peerKey)?.session?.initiator === false ? 'doubtful' : 'unsure'
  }

  roundTrip(association: Association): Duration | undefined {
    return this.endpoint.association(association.peerKey)?.roundTrip
  }

  /** Padded to 16 bytes up to 1280, and not at all above (`shared/tunnel/padding.ts`). */
  innerRoom(bytes: number): number {
    const room = bytes - SEAL_OVERHEAD
    return room >= PADDED_UP_TO ? room : room - (room % PADDING)
  }

  outerLength(bytes: number): number {
    return SEAL_OVERHEAD + paddedLength(bytes, PADDED_UP_TO)
  }
}
