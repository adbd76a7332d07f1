/**
 * Whether two ends must find a direct path, said from the drawing of the network alone: which NATs stand between them and how each maps
 * and filters (RFC 4787 §4.1, §5, §6). Both know each other's own, reflexive and gateway-mapped places, send to all of them at the
 * same time, and answer to wherever a datagram came from. Ports are not guessed. A path is a pair of places between which datagrams
 * go both ways; what is answered from elsewhere is none (RFC 8445 §7.2.5.2.1).
 *
 * Letters: `m` is how an end's boxes map together, the strictest of them; `f` how they filter, with its own firewall.
 */
import { type BoxPlan, chainOf, type EndPlan, type NetworkPlan } from '#sim/internet/topology.ts'
import type { Dependence } from '#sim/nat-box.ts'

/** `either`: chance decides, where a NAT with several addresses takes any of them. */
export type Prediction = 'direct' | 'relay' | 'either'

export function predict(plan: NetworkPlan): Prediction {
  const [a, b] = plan.ends.map((end) => new Side(plan, end)) as [Side, Side]
  const common = a.chain.find((box) => b.chain.includes(box))
  if (overIpv6(a, b, common)) return 'direct'
  if (!a.end.ipv4 || !b.end.ipv4) return 'relay'
  if (common !== undefined && (inside(a, b, common) || turned(a, b, common))) return 'direct'
  return outside(a, b, common)
}

/** An end with the boxes between it and the open internet. */
class Side {
  readonly end: EndPlan
  readonly chain: readonly BoxPlan[]

  constructor(plan: NetworkPlan, end: EndPlan) {
    this.end = end
    this.chain = chainOf(plan, end)
  }

  get hasIpv6(): boolean {
    return this.end.ipv6 && this.chain.every(({ ipv6 }) => ipv6)
  }

  /** The boxes before `common` is reached; all of them, where nothing is in common. */
  below(common: BoxPlan | undefined): readonly BoxPlan[] {
    return common === undefined ? this.chain : this.chain.slice(0, this.chain.indexOf(common))
  }

  mapping(): Dependence {
    return this.#mappingUpTo(this.chain.length - 1)
  }

  filtering(boxes: readonly BoxPlan[]): Dependence {
    const own = this.end.firewall ?? 'endpoint-independent'
    return strictest([own, ...boxes.map((box, at) => this.#filtering(box, at))])
  }

  /** Whether all mappings of its socket bear one address: else filters by address find strangers. */
  hasOneAddress(): boolean {
    return this.chain.every((box, at) => {
      const mapsOnce = this.#mappingUpTo(at) === 'endpoint-independent'
      return mapsOnce || box.pool <= 1 || box.nat?.pooling !== 'arbitrary'
    })
  }

  /**
   * Whether what `other` sends to our reflexive place, from a port that we cannot know, reaches us. A box that maps anew for each remote
   * has used that mapping for the STUN server alone; one that does not has used it for the other's reflexive place too.
   */
  hears(other: Side): Prediction {
    const filters = this.chain.map((box, at) => {
      const isShared = this.#mappingUpTo(at) === 'endpoint-independent'
      const filtering = this.#filtering(box, at)
      return isShared || filtering === 'endpoint-independent' ? filtering : 'address-and-port-dependent'
    })
    return admits(strictest([this.end.firewall ?? 'endpoint-independent', ...filters]), other)
  }

  /** Whether the other end is told a place of ours on the inside of `common`. */
  isKnownInside(common: BoxPlan): boolean {
    const between = this.below(common).length
    return between === 0 || (between === 1 && this.end.mapped)
  }

  /** Of the boxes from the innermost one to this. */
  #mappingUpTo(last: number): Dependence {
    return strictest(this.chain.slice(0, last + 1).map((box, at) => this.#mapping(box, at)))
  }

  /** A mapping that was asked for serves every remote (RFC 6887 §11). */
  #mapping({ nat }: BoxPlan, at: number): Dependence {
    return nat === undefined || (at === 0 && this.end.mapped) ? 'endpoint-independent' : nat.mapping
  }

  #filtering({ nat, inbound }: BoxPlan, at: number): Dependence {
    if (nat === undefined) return inbound === 'all' ? 'endpoint-independent' : inbound
    return at === 0 && this.end.mapped ? 'endpoint-independent' : nat.filtering
  }
}

/** Nothing translates: each sends to the very place that the other sends from, which every stateful filter takes for an answer. */
function overIpv6(a: Side, b: Side, common: BoxPlan | undefined): boolean {
  if (!a.hasIpv6 || !b.hasIpv6 || common?.isolated) return false
  return [...a.below(common), ...b.below(common)].every(({ udp }) => udp === 'open')
}

/** On the inside of the innermost box that both are behind, without leaving by it. */
function inside(a: Side, b: Side, common: BoxPlan): boolean {
  const crossed = [...a.below(common), ...b.below(common)]
  if (common.isolated || !crossed.every(carriesIpv4)) return false
  // Who is inside of a network with the same numbers looks for the other end among his own neighbours.
  if (crossed.some(({ lan }) => lan === common.lan)) return false
  const [aKnown, bKnown] = [a.isKnownInside(common), b.isKnownInside(common)]
  if (aKnown && bKnown) return true
  // Only one is known, and hears a place that it could not have sent to.
  const known = aKnown ? a : bKnown ? b : undefined
  return known?.filtering(known.below(common)) === 'endpoint-independent'
}

/** By a place that the box they have in common maps for one of its own neighbours, and turns packets round to (RFC 4787 §6). */
function turned(a: Side, b: Side, common: BoxPlan): boolean {
  const crossed = [...a.below(common), ...b.below(common), common]
  if (common.nat?.hairpinning !== true || !crossed.every(carriesIpv4)) return false
  const [aMapped, bMapped] = [a, b].map((side) => side.end.mapped && side.below(common).length === 0)
  if (aMapped && bMapped) return true
  const mapped = aMapped ? a : bMapped ? b : undefined
  return mapped !== undefined && (mapped.end.firewall ?? 'endpoint-independent') === 'endpoint-independent'
}

/** By the places that STUN saw from the open internet. */
function outside(a: Side, b: Side, common: BoxPlan | undefined): Prediction {
  if (![...a.chain, ...b.chain].every(carriesIpv4)) return 'relay'
  // Both come out of one NAT, which then has to turn their packets round (RFC 4787 §6).
  if (common !== undefined && a.chain.at(-1)!.nat?.hairpinning !== true) return 'relay'
  const [ma, mb] = [a.mapping(), b.mapping()]
  const [fa, fb] = [a.filtering(a.chain), b.filtering(b.chain)]
  if (ma === 'endpoint-independent' && mb === 'endpoint-independent') return 'direct'
  if (ma === 'endpoint-independent') return admits(fa, b)
  if (mb === 'endpoint-independent') return admits(fb, a)
  // Each port that one hears makes the other's NAT take another one: no pair of places ever stands.
  if (ma === 'address-and-port-dependent' && mb === 'address-and-port-dependent') return 'relay'
  // Both send from places that the other cannot know: one must be heard at its reflexive place, and its answer pass the other's filter.
  const verdicts = [both(b.hears(a), admits(fa, b)), both(a.hears(b), admits(fb, a))]
  if (verdicts.every((verdict) => verdict === 'relay')) return 'relay'
  return verdicts.includes('direct') && a.hasOneAddress() && b.hasOneAddress() ? 'direct' : 'either'
}

const both = (one: Prediction, other: Prediction): Prediction =>
  one === 'relay' || other === 'relay' ? 'relay' : one === 'direct' ? other : one

/** Whether an end that has sent to the reflexive place of `other` hears it from another port. */
function admits(filtering: Dependence, other: Side): Prediction {
  if (filtering === 'endpoint-independent') return 'direct'
  if (filtering === 'address-and-port-dependent') return 'relay'
  return other.hasOneAddress() ? 'direct' : 'either'
}

const carriesIpv4 = ({ udp, ipv4Works }: BoxPlan): boolean => udp === 'open' && ipv4Works

const order: readonly Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent']
const strictest = (all: readonly Dependence[]): Dependence =>
  order[Math.max(0, ...all.map((dependence) => order.indexOf(dependence)))]!
