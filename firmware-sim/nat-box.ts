import type { Duration, Instant } from '#shared/time/instant.ts'
import { seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'

/**
 * A NAT as RFC 4787 describes it, for UDP. Pure: it translates addresses and forgets mappings, and owns no socket.
 *
 *     inside (device)  --outbound-->  mapping table  -->  outside (remote)
 *                      <--inbound---  filter rules   <--
 */

/** On what a mapping (RFC 4787 §4.1) or a filter (§5) depends. */
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

export interface NatBehaviour {
  mapping: Dependence
  filtering: Dependence
  /** A mapping dies this long after its last outbound packet (REQ-5: not below 2 minutes; the field has 30 s). */
  mappingTimeout: Duration
  /** Whether inbound packets keep a mapping alive too (REQ-6 leaves it open). */
  inboundRefresh: boolean
  /** Whether two inside hosts reach each other by their outside addresses (REQ-9). */
  hairpinning: boolean
  /** Whether the outside port is the inside one where it is free (§4.2.1). */
  portPreservation: boolean
}

const common = { mappingTimeout: seconds(120), inboundRefresh: false, hairpinning: true, portPreservation: true } as const

/** The kinds that the field speaks of. */
export const natKinds = {
  'full-cone': { ...common, mapping: 'endpoint-independent', filtering: 'endpoint-independent' },
  restricted: { ...common, mapping: 'endpoint-independent', filtering: 'address-dependent' },
  'port-restricted': { ...common, mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' },
  symmetric: {
    ...common,
    mapping: 'address-and-port-dependent',
    filtering: 'address-and-port-dependent',
    hairpinning: false,
    portPreservation: false,
  },
} as const satisfies Record<string, NatBehaviour>

export type NatKind = keyof typeof natKinds

interface Mapping {
  inside: Endpoint
  outsidePort: number
  lastRefresh: Instant
  /** Remotes that inside has sent to, as the filter's keys. */
  permitted: Set<string>
}

const firstPort = 1024
const portCount = 65_536 - firstPort

export class NatBox {
  readonly #behaviour: NatBehaviour
  readonly #outsideAddress: string
  readonly #random: (bound: number) => number
  readonly #byInside = new Map<string, Mapping>()
  readonly #byPort = new Map<number, Mapping>()

  /** `random(bound)` gives a whole number in [0, bound). */
  constructor(behaviour: NatBehaviour, outsideAddress: string, random: (bound: number) => number) {
    this.#behaviour = behaviour
    this.#outsideAddress = outsideAddress
    this.#random = random
  }

  get mappings(): number {
    return this.#byPort.size
  }

  /** The outside endpoint that a packet from `inside` to `remote` leaves with; undefined when every port is taken. */
  outbound(inside: Endpoint, remote: Endpoint, now: Instant): Endpoint | undefined {
    const key = `${inside.address} ${inside.port} ${scope(this.#behaviour.mapping, remote)}`
    let mapping = this.#live(this.#byInside.get(key), now)
    if (!mapping) {
      const outsidePort = this.#freePort(inside.port, now)
      if (outsidePort === undefined) return undefined
      mapping = { inside, outsidePort, lastRefresh: now, permitted: new Set() }
      this.#byInside.set(key, mapping)
      this.#byPort.set(outsidePort, mapping)
    }
    mapping.lastRefresh = now
    mapping.permitted.add(scope(this.#behaviour.filtering, remote))
    return { address: this.#outsideAddress, port: mapping.outsidePort }
  }

  /** The inside endpoint that a packet from `remote` to our `outsidePort` goes to; undefined when there is no mapping or the filter refuses. */
  inbound(outsidePort: number, remote: Endpoint, now: Instant): Endpoint | undefined {
    if (remote.address === this.#outsideAddress && !this.#behaviour.hairpinning) return undefined
    const mapping = this.#live(this.#byPort.get(outsidePort), now)
    if (!mapping?.permitted.has(scope(this.#behaviour.filtering, remote))) return undefined
    if (this.#behaviour.inboundRefresh) mapping.lastRefresh = now
    return mapping.inside
  }

  /** Drops the mappings that are dead by `now` and returns their outside ports. */
  sweep(now: Instant): number[] {
    const ports = [...this.#byPort.values()].filter((mapping) => !this.#live(mapping, now)).map(({ outsidePort }) => outsidePort)
    for (const [key, mapping] of this.#byInside) if (this.#byPort.get(mapping.outsidePort) !== mapping) this.#byInside.delete(key)
    return ports
  }

  /** A restart or a lost address: every mapping is gone. */
  forget(): void {
    this.#byInside.clear()
    this.#byPort.clear()
  }

  #live(mapping: Mapping | undefined, now: Instant): Mapping | undefined {
    if (!mapping) return undefined
    const known = this.#byPort.get(mapping.outsidePort) === mapping
    if (known && now - mapping.lastRefresh < this.#behaviour.mappingTimeout) return mapping
    if (known) this.#byPort.delete(mapping.outsidePort)
    return undefined
  }

  #freePort(preferred: number, now: Instant): number | undefined {
    if (this.#behaviour.portPreservation && !this.#live(this.#byPort.get(preferred), now)) return preferred
    const start = this.#random(portCount)
    for (let i = 0; i < portCount; i++) {
      const port = firstPort + ((start + i) % portCount)
      if (!this.#live(this.#byPort.get(port), now)) return port
    }
    return undefined
  }
}

function scope(dependence: Dependence, remote: Endpoint): string {
  if (dependence === 'endpoint-independent') return ''
  return dependence === 'address-dependent' ? remote.address : `${remote.address} ${remote.port}`
}
