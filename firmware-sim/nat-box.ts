import type { Duration, Instant } from '#shared/time/instant.ts'
import { seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { NatPorts, type PortAssignment } from '#sim/nat-ports.ts'

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
  /**
   * Likewise for a mapping that has not been answered, or not been used 2 s after it was made: Linux conntrack grants the long
   * timeout only then. Default: `mappingTimeout`.
   */
  freshTimeout?: Duration
  /** Whether inbound packets keep a mapping alive too (REQ-6 leaves it open). */
  inboundRefresh: boolean
  /** Whether two inside hosts reach each other by their outside addresses (REQ-9). */
  hairpinning: boolean
  /** Whether the outside port is the inside one where it is free (§4.2.1). */
  portPreservation: boolean
  /** How another port is chosen; default `random`. */
  portAssignment?: PortAssignment
  /** Which outside address a new mapping gets, where there are several (§4.1, REQ-2); default `paired`. */
  pooling?: 'paired' | 'arbitrary'
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
  readonly inside: Endpoint
  readonly outside: Endpoint
  readonly born: Instant
  lastRefresh: Instant
  answered: boolean
  /** Seen in use when it was old enough for the long timeout. */
  settled: boolean
  /** Remotes that inside has sent to, as the filter's keys; undefined: asked for by the host (PCP, NAT-PMP), open to all. */
  readonly permitted: Set<string> | undefined
  /** Of a mapping that was asked for: when it ends. */
  readonly until?: Instant
}

/** Linux: a flow is a stream when it is used both ways later than this. */
const SETTLES_AFTER = seconds(2)

export class NatBox {
  behaviour: NatBehaviour
  #pool: readonly string[]
  readonly #random: (bound: number) => number
  readonly #byInside = new Map<string, Mapping>()
  readonly #byOutside = new Map<string, Mapping>()
  readonly #ports: NatPorts

  /** `random(bound)` gives a whole number in [0, bound). */
  constructor(behaviour: NatBehaviour, outsideAddress: string | readonly string[], random: (bound: number) => number) {
    this.behaviour = behaviour
    this.#pool = typeof outsideAddress === 'string' ? [outsideAddress] : outsideAddress
    this.#random = random
    this.#ports = new NatPorts(random)
  }

  get mappings(): number {
    return this.#byOutside.size
  }

  /** The addresses that it owns outside. */
  get pool(): readonly string[] {
    return this.#pool
  }

  /** The outside endpoint that a packet from `inside` to `remote` leaves with; undefined when every port is taken. */
  outbound(inside: Endpoint, remote: Endpoint, now: Instant): Endpoint | undefined {
    const asked = this.#live(this.#byInside.get(keyOf(inside)), now)
    if (asked?.permitted === undefined && asked !== undefined) return asked.outside
    const key = `${keyOf(inside)} ${scope(this.behaviour.mapping, remote)}`
    let mapping = this.#live(this.#byInside.get(key), now)
    if (!mapping) {
      const outside = this.#outsideFor(inside, now)
      if (outside === undefined) return undefined
      mapping = { inside, outside, born: now, lastRefresh: now, answered: false, settled: false, permitted: new Set() }
      this.#byInside.set(key, mapping)
      this.#byOutside.set(keyOf(outside), mapping)
    }
    this.#used(mapping, now)
    mapping.permitted?.add(scope(this.behaviour.filtering, remote))
    return mapping.outside
  }

  /** The inside endpoint that a packet from `remote` to our `outside` goes to; undefined when there is no mapping or the filter refuses. */
  inbound(outside: Endpoint, remote: Endpoint, now: Instant): Endpoint | undefined {
    if (this.#pool.includes(remote.address) && !this.behaviour.hairpinning) return undefined
    const mapping = this.#live(this.#byOutside.get(keyOf(outside)), now)
    if (mapping === undefined) return undefined
    if (mapping.permitted && !mapping.permitted.has(scope(this.behaviour.filtering, remote))) return undefined
    mapping.answered = true
    if (this.behaviour.inboundRefresh) this.#used(mapping, now)
    return mapping.inside
  }

  /** A mapping that the host asks for (PCP, NAT-PMP, UPnP): open to all, and the host's own packets leave with it. */
  ask(inside: Endpoint, lifetime: Duration, now: Instant): Endpoint | undefined {
    const before = this.#live(this.#byInside.get(keyOf(inside)), now)
    const outside = before?.outside ?? this.#outsideFor(inside, now)
    if (outside === undefined) return undefined
    const until = (now + lifetime) as Instant
    const mapping = { inside, outside, born: now, lastRefresh: now, answered: true, settled: true, permitted: undefined, until }
    this.#byInside.set(keyOf(inside), mapping)
    this.#byOutside.set(keyOf(outside), mapping)
    return outside
  }

  /** Drops the mappings that are dead by `now` and returns their outside ports. */
  sweep(now: Instant): number[] {
    const dead = [...this.#byOutside.values()].filter((mapping) => !this.#live(mapping, now))
    for (const [key, mapping] of this.#byInside)
      if (this.#byOutside.get(keyOf(mapping.outside)) !== mapping) this.#byInside.delete(key)
    return dead.map(({ outside }) => outside.port)
  }

  /** A restart: every mapping is gone. */
  forget(): void {
    this.#byInside.clear()
    this.#byOutside.clear()
  }

  /** Another lease outside: every mapping is gone with the old addresses. */
  renumber(...pool: readonly string[]): void {
    this.#pool = pool
    this.forget()
  }

  #used(mapping: Mapping, now: Instant): void {
    mapping.lastRefresh = now
    if (mapping.answered && now - mapping.born > SETTLES_AFTER) mapping.settled = true
  }

  #live(mapping: Mapping | undefined, now: Instant): Mapping | undefined {
    if (!mapping) return undefined
    const key = keyOf(mapping.outside)
    const known = this.#byOutside.get(key) === mapping
    if (known && now < this.#endOf(mapping)) return mapping
    if (known) this.#byOutside.delete(key)
    return undefined
  }

  #endOf(mapping: Mapping): number {
    if (mapping.until !== undefined) return mapping.until
    const { mappingTimeout, freshTimeout = mappingTimeout } = this.behaviour
    return mapping.lastRefresh + (mapping.settled ? mappingTimeout : freshTimeout)
  }

  #outsideFor(inside: Endpoint, now: Instant): Endpoint | undefined {
    const address = this.#addressFor(inside)
    const isFree = (port: number): boolean => !this.#live(this.#byOutside.get(keyOf({ address, port })), now)
    const { portPreservation, portAssignment = 'random' } = this.behaviour
    const port = this.#ports.choose(inside.port, portPreservation, portAssignment, isFree)
    return port === undefined ? undefined : { address, port }
  }

  /** Paired: one inside address keeps its outside one, by a hash, so that no table is needed. */
  #addressFor(inside: Endpoint): string {
    const size = this.#pool.length
    if (size === 1) return this.#pool[0]!
    if (this.behaviour.pooling === 'arbitrary') return this.#pool[this.#random(size)]!
    let hash = 7
    for (let i = 0; i < inside.address.length; i++) hash = (hash * 31 + inside.address.charCodeAt(i)) >>> 0
    return this.#pool[hash % size]!
  }
}

const keyOf = ({ address, port }: Endpoint): string => `${address} ${port}`

function scope(dependence: Dependence, remote: Endpoint): string {
  if (dependence === 'endpoint-independent') return ''
  return dependence === 'address-dependent' ? remote.address : keyOf(remote)
}
