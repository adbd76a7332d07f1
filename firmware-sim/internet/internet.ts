import { milliseconds } from '#shared/time/instant.ts'
import { Host } from '#sim/internet/host.ts'
import { Router, type RouterRules } from '#sim/internet/router.ts'
import { Segment, type WireQualities } from '#sim/internet/segment.ts'
import { World } from '#sim/internet/world.ts'
import { type LinkQuality, perfectLink } from '#sim/link.ts'
import type { Dependence, NatBehaviour } from '#sim/nat-box.ts'

/** Both directions of a wire that only takes time. */
export const wires = (delayMs: number, change: Partial<LinkQuality> = {}): WireQualities => {
  const quality = { ...perfectLink, delay: milliseconds(delayMs), ...change }
  return { up: quality, down: quality }
}

export interface SiteOptions {
  /** The /24 inside, `192.168.1.` say. Without `nat` it is public and chosen here; absent: no IPv4 inside. */
  lan?: string
  /** IPv4 is translated so; absent: routed. */
  nat?: NatBehaviour
  /** Outside addresses of the NAT; default 1. */
  pool?: number
  ipv6?: boolean
  /** Who may reach an inside address of IPv6, or of untranslated IPv4. Default: whom it has spoken to, by address and port. */
  inbound?: 'all' | Dependence
  /** The site that this one is inside of (double NAT, CGNAT); default: the open internet. */
  above?: Site
  /** Of the way up. */
  wires?: WireQualities
  rules?: Partial<RouterRules>
}

/** A place with a router: a home, a carrier's NAT, a company. */
export class Site {
  readonly segment: Segment
  readonly router: Router
  /** /64 of the inside as `2001:db8:10:1:`, where there is IPv6. */
  readonly prefix6: string | undefined
  readonly above: Site | undefined
  readonly #internet: Internet
  readonly #lan: string | undefined
  #hosts = 4

  constructor(internet: Internet, options: SiteOptions) {
    this.#internet = internet
    const { above, nat, pool = 1, ipv6 = false, inbound = 'address-and-port-dependent' } = options
    this.above = above
    this.prefix6 = ipv6 ? internet.freePrefix6() : undefined
    this.#lan = options.lan ?? (nat ? '192.168.1.' : undefined)
    const prefixes = [this.#lan, this.prefix6].filter((prefix) => prefix !== undefined)
    this.segment = new Segment(internet.world, `site ${prefixes.join(' ')}`, prefixes)
    const outside = above?.segment ?? internet.core
    const insideAddresses = [...(this.#lan ? [`${this.#lan}1`] : []), ...(this.prefix6 ? [`${this.prefix6}:1`] : [])]
    this.router = new Router(internet.world, {
      inside: this.segment,
      insideAddresses,
      outside,
      outsideAddresses: nat ? Array.from({ length: pool }, () => internet.freeAddress(above)) : [],
      wires: options.wires ?? wires(5),
      ...(nat && { nat }),
      rules: { inbound, ...options.rules },
    })
    if (this.prefix6) this.#routeFromAbove(this.prefix6)
    if (this.#lan && !nat) this.#routeFromAbove(this.#lan)
  }

  /** A machine on the inside, with an address of each family that there is. */
  host(name: string, { families = ['ipv4', 'ipv6'], line = wires(1) }: HostOptions = {}): Host {
    const host = new Host(this.#internet.world, name)
    host.attach(this.segment, this.freeAddresses(families), line)
    return host
  }

  freeAddresses(families: readonly Family[]): string[] {
    const number = ++this.#hosts
    return [
      ...(this.#lan && families.includes('ipv4') ? [`${this.#lan}${number}`] : []),
      ...(this.prefix6 && families.includes('ipv6') ? [`${this.prefix6}:${number.toString(16)}`] : []),
    ]
  }

  /** For a router inside of this site. */
  freeAddress(): string {
    return `${this.#lan}${++this.#hosts}`
  }

  #routeFromAbove(prefix: string): void {
    let { outside } = this.router
    for (let above = this.above; above !== undefined; above = above.above) {
      above.segment.route(prefix, outside)
      outside = above.router.outside
    }
    this.#internet.core.route(prefix, outside)
  }
}

export type Family = 'ipv4' | 'ipv6'

export interface HostOptions {
  families?: readonly Family[]
  /** The wire between the machine and its segment. */
  line?: WireQualities
}

/** The open internet, on which servers stand and sites hang. */
export class Internet {
  readonly world: World
  readonly core: Segment
  #publicAddresses = 0
  #prefixes = 0

  constructor(seed: number) {
    this.world = new World(seed)
    this.core = new Segment(this.world, 'internet', [])
  }

  /** A machine with public addresses and nothing before it. */
  server(name: string, addresses: readonly string[], line: WireQualities = wires(5)): Host {
    const host = new Host(this.world, name)
    host.attach(this.core, addresses, line)
    return host
  }

  site(options: SiteOptions): Site {
    return new Site(this, options)
  }

  freeAddress(above?: Site): string {
    if (above !== undefined) return above.freeAddress()
    const number = ++this.#publicAddresses
    return `203.0.${113 + (number >> 8)}.${number & 255}`
  }

  freePrefix6(): string {
    return `2001:db8:${(0x10 + ++this.#prefixes).toString(16)}:1:`
  }
}
