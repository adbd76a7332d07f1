import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import type { ChildPolicy } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr, selectorLimit } from '#shared/ikev2/traffic-selectors.ts'
import type { Clock } from '#shared/time/instant.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal, TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

export interface ChildPoliciesOptions {
  registry: Pick<Registry, 'directory' | 'fleet'>
  clock: Clock
  /** For peers whose entry names none, in order of preference. */
  espProposals: readonly Proposal[]
}

/** What Child SAs with each principal may look like: a question of its subnets, its entry's suites, and the sites of the moment. */
export class ChildPolicies {
  readonly #options: ChildPoliciesOptions
  readonly #fleet: readonly TrafficSelector[]
  /** What lies behind each site, made once: a change in the registry makes another object of it. */
  readonly #behind = new WeakMap<Principal, readonly TrafficSelector[]>()
  /** One text for all who know the same sites. */
  #sites = ''

  constructor(options: ChildPoliciesOptions) {
    this.#options = options
    this.#fleet = options.registry.fleet.routes.map(selector)
  }

  of(principal: Principal): ChildPolicy {
    const { espProposals } = this.#options
    const own = principal.ipsec?.espProposals ?? []
    return {
      proposals: own.length > 0 ? parseProposals(own, ProtocolId.Esp) : espProposals,
      localSelectors: [...this.#fleet, ...this.#others(principal)],
      remoteSelectors: [...principal.addresses, ...principal.subnets].map(selector),
      lifetime: defaultChildLifetime,
    }
  }

  /** The networks behind all peers that `of` names: another text where sites have come or gone, or changed. */
  get sites(): string {
    const text = this.#admittedSites()
      .map(({ id, subnets }) => `${id} ${subnets.join(' ')}`)
      .join('\n')
    if (text !== this.#sites) this.#sites = text
    return this.#sites
  }

  /**
   * Subnets of all other sites, whether a grant joins them to this one or not: a Child SA outlives many grants, which act within a second
   * (DESIGN D12), and each flow is judged by them anyway. What lies behind a peer is no secret from its fleet's other routers.
   */
  #others({ id }: Principal): TrafficSelector[] {
    const others = this.#admittedSites().filter((site) => site.id !== id)
    return others.flatMap((site) => this.#selectorsBehind(site)).slice(0, selectorLimit - this.#fleet.length)
  }

  #selectorsBehind(site: Principal): readonly TrafficSelector[] {
    const known = this.#behind.get(site)
    if (known !== undefined) return known
    const made = site.subnets.map(selector)
    this.#behind.set(site, made)
    return made
  }

  #admittedSites(): Principal[] {
    const { registry, clock } = this.#options
    const wall = clock.wall()
    return [...registry.directory.sites()].filter((site) => registry.directory.isAdmitted(site, wall))
  }
}

const selector = (cidr: string): TrafficSelector => fromCidr(parseCidr(cidr))
