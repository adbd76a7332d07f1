import { milliseconds, seconds } from '#shared/time/instant.ts'
import { FlowMemory } from '#sim/internet/flow-memory.ts'
import type { Host } from '#sim/internet/host.ts'
import { Internet, type Site, wires } from '#sim/internet/internet.ts'
import type { Dependence, NatBehaviour } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'

/** A router between two segments, as a drawing of the network shows it. */
export interface BoxPlan {
  /** Index of the box that it stands behind; undefined: it stands on the open internet. */
  readonly above: number | undefined
  /** Its /24. */
  readonly lan: string
  /** Absent: its IPv4 is public, behind a firewall. */
  readonly nat: NatBehaviour | undefined
  readonly pool: number
  readonly ipv6: boolean
  /** Who may reach what is not translated. */
  readonly inbound: 'all' | Dependence
  readonly udp: 'open' | 'blocked' | 'one-way'
  readonly ipv4Works: boolean
  /** Neighbours on its inside do not hear each other. */
  readonly isolated: boolean
  /** Somebody else has the first address of its inside, and sends back what he hears. */
  readonly decoy: boolean
  readonly delayMs: number
}

/** One of the two ends that want to meet. */
export interface EndPlan {
  /** The box that it is behind; undefined: on the open internet. */
  readonly box: number | undefined
  readonly ipv4: boolean
  readonly ipv6: boolean
  /** Its own stateful firewall. */
  readonly firewall: Dependence | undefined
  /** Its gateway maps a port for it (PCP, NAT-PMP). */
  readonly mapped: boolean
  readonly delayMs: number
}

/** A network as data: from it alone a prediction is made, and of it a simulation is built. */
export interface NetworkPlan {
  readonly seed: number
  readonly boxes: readonly BoxPlan[]
  readonly ends: readonly [EndPlan, EndPlan]
  readonly loss: number
  readonly jitterMs: number
}

const dependences: readonly Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent']
const lans = ['192.168.0.', '192.168.1.', '192.168.178.', '10.0.0.'] as const

/** The boxes from an end outwards. */
export function chainOf(plan: NetworkPlan, end: EndPlan): BoxPlan[] {
  const chain: BoxPlan[] = []
  for (let at = end.box; at !== undefined; at = plan.boxes[at]!.above) chain.push(plan.boxes[at]!)
  return chain
}

/** One of all the networks that the field has, by chance. */
export function drawNetwork(seed: number): NetworkPlan {
  return new Drawing(seed).plan()
}

class Drawing {
  readonly #seed: number
  readonly #random: SeededRandom
  readonly #boxes: BoxPlan[] = []

  constructor(seed: number) {
    this.#seed = seed
    this.#random = new SeededRandom(seed * 2_654_435_761 + 17)
  }

  plan(): NetworkPlan {
    const random = this.#random
    const places = this.#places()
    return {
      seed: this.#seed,
      boxes: this.#boxes,
      ends: [this.#end(places[0]), this.#end(places[1])],
      loss: random.chance(0.6) ? 0 : random.next() * 0.03,
      jitterMs: random.chance(0.5) ? 0 : random.below(8),
    }
  }

  /** Where the two ends stand to each other. */
  #places(): [number | undefined, number | undefined] {
    const dice = this.#random.next()
    if (dice < 0.15) {
      const home = this.#chance(0.3) ? this.#home(this.#carrier()) : this.#home(undefined)
      return [home, home]
    }
    if (dice < 0.3) {
      const carrier = this.#carrier()
      return [this.#home(carrier), this.#home(carrier)]
    }
    if (dice < 0.4) {
      const home = this.#home(this.#chance(0.3) ? this.#carrier() : undefined)
      return [home, this.#home(home)]
    }
    if (dice < 0.5) {
      const carrier = this.#carrier()
      return [carrier, this.#home(carrier)]
    }
    return [this.#somewhere(), this.#somewhere()]
  }

  #somewhere(): number | undefined {
    const dice = this.#random.next()
    if (dice < 0.1) return undefined
    if (dice < 0.2) return this.#office()
    if (dice < 0.4) return this.#home(this.#carrier())
    if (dice < 0.5) return this.#home(this.#home(undefined))
    if (dice < 0.6) return this.#carrier()
    return this.#home(undefined)
  }

  #home(above: number | undefined): number {
    const ipv6 = this.#chance(0.4) && (above === undefined || this.#boxes[above]!.ipv6)
    return this.#box({ above, lan: this.#pick(lans), nat: this.#nat(0.5), pool: 1, ipv6 })
  }

  #carrier(): number {
    const pool = this.#chance(0.5) ? 1 : 4
    return this.#box({ lan: `100.64.${this.#boxes.length}.`, nat: this.#nat(0.35), pool, ipv6: this.#chance(0.5) })
  }

  /** Public addresses behind a firewall. */
  #office(): number {
    return this.#box({ lan: `198.18.${this.#boxes.length}.`, nat: undefined, pool: 0, ipv6: this.#chance(0.5) })
  }

  #box(change: Partial<BoxPlan> & Pick<BoxPlan, 'lan' | 'nat' | 'pool' | 'ipv6'>): number {
    const dice = this.#random.next()
    this.#boxes.push({
      above: undefined,
      inbound: this.#chance(0.15) ? 'all' : this.#pick(dependences),
      udp: dice < 0.06 ? 'blocked' : dice < 0.08 ? 'one-way' : 'open',
      ipv4Works: !this.#chance(0.03),
      isolated: this.#chance(0.12),
      decoy: this.#chance(0.4),
      delayMs: 1 + this.#random.below(30),
      ...change,
    })
    return this.#boxes.length - 1
  }

  /** Easy ones are the field's most: `cone` is their share. */
  #nat(cone: number): NatBehaviour {
    const one = { mappingTimeout: seconds(30 + this.#random.below(270)), inboundRefresh: this.#chance(0.5) }
    const two = { hairpinning: this.#chance(0.5), portPreservation: this.#chance(0.5) }
    const three = {
      portAssignment: this.#pick(['random', 'sequential', 'parity'] as const),
      pooling: this.#pick(['paired', 'paired', 'arbitrary'] as const),
    }
    const mapping = this.#chance(cone) ? 'endpoint-independent' : this.#pick(dependences)
    return { ...one, ...two, ...three, mapping, filtering: this.#pick(dependences) }
  }

  #end(box: number | undefined): EndPlan {
    const dice = this.#random.next()
    return {
      box,
      ipv4: dice >= 0.05,
      ipv6: dice < 0.5,
      firewall: this.#chance(0.2) ? this.#pick(dependences) : undefined,
      mapped: box !== undefined && this.#boxes[box]!.nat !== undefined && this.#chance(0.15),
      delayMs: this.#random.below(10),
    }
  }

  #chance(probability: number): boolean {
    return this.#random.chance(probability)
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]!
  }
}

export interface BuiltEnd {
  readonly host: Host
  readonly site: Site | undefined
}

export interface BuiltNetwork {
  readonly internet: Internet
  /** On the open internet, with an address of each family: a STUN server's, or a hub's. */
  readonly server: Host
  readonly ends: readonly [BuiltEnd, BuiltEnd]
  /** Those who have an address that is not theirs alone. */
  readonly decoys: readonly Host[]
}

export function buildNetwork(plan: NetworkPlan): BuiltNetwork {
  const internet = new Internet(plan.seed)
  const quality = { loss: plan.loss, jitter: milliseconds(plan.jitterMs) }
  const server = internet.server('server', ['198.51.100.2', '2001:db8:2:1::2'])
  const decoys: Host[] = []
  const sites: Site[] = []
  for (const box of plan.boxes) {
    const { above, lan, nat, pool, ipv6, inbound, udp, ipv4Works } = box
    const site = internet.site({
      lan,
      pool,
      ipv6,
      inbound,
      wires: wires(box.delayMs, quality),
      rules: { udpOut: udp === 'blocked' ? [] : 'all', udpIn: udp !== 'one-way', ipv4: ipv4Works },
      ...(nat && { nat }),
      ...(above !== undefined && { above: sites[above]! }),
    })
    site.segment.isolated = box.isolated
    if (box.decoy) decoys.push(site.host('decoy'))
    sites.push(site)
  }
  const ends = plan.ends.map((end, at): BuiltEnd => {
    const line = wires(end.delayMs, quality)
    const families = [end.ipv4 && ('ipv4' as const), end.ipv6 && ('ipv6' as const)].filter((family) => family !== false)
    const site = end.box === undefined ? undefined : sites[end.box]!
    const host = site?.host(`end ${at}`, { families, line }) ?? internet.server(`end ${at}`, publicAddresses(at, families), line)
    if (end.firewall) host.firewall = new FlowMemory(end.firewall)
    return { host, site }
  })
  return { internet, server, ends: [ends[0]!, ends[1]!], decoys }
}

const publicAddresses = (at: number, families: readonly string[]): string[] => [
  ...(families.includes('ipv4') ? [`192.0.2.${at + 5}`] : []),
  ...(families.includes('ipv6') ? [`2001:db8:3:1::${at + 5}`] : []),
]
