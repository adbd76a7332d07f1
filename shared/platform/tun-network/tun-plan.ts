import { AditError } from '#shared/errors.ts'
import { type Cidr, contains, formatAddress, formatCidr, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import { isInterfaceName } from './interface-name.ts'

/** What the network of this machine is to be like while a tunnel's interface is there. */
export interface TunPlan {
  /** The interface, which exists already and vanishes with the process that opened it: at most 15 characters. */
  readonly name: string
  /** Our inner addresses, of either family, as literals; each becomes a host prefix. */
  readonly addresses: readonly string[]
  /** Bytes of the largest inner packet, 1280 to 65535. */
  readonly mtu: number
  /** Networks that are reached through the tunnel, as CIDRs: the fleet's. Those of a family without an address of ours are left out. */
  readonly routes: readonly string[]
  /** Present: everything else goes into the tunnel too. */
  readonly all?: {
    /** Literal addresses that stay outside: the broker, its API, proxies. */
    readonly outside: readonly string[]
    /** Name servers inside the tunnel, as literals; none: the machine keeps asking whom it asks. */
    readonly dns: readonly string[]
  }
}

/** IPv6 needs 1280 (RFC 8200 §5). */
const LEAST_MTU = 1_280
const LARGEST_MTU = 65_535
/** The resolver of the C library reads no more of them (resolv.conf(5), MAXNS). */
const MOST_NAME_SERVERS = 3

/** The plan with every address in its one canonical text, networks without host bits, nothing twice; throws AditError `config-invalid`. */
export function checkedPlan(plan: TunPlan): TunPlan {
  if (!isInterfaceName(plan.name))
    throw invalid(`${JSON.stringify(plan.name)} is no name for a network interface`, 'Use up to 15 letters and digits.')
  if (!Number.isInteger(plan.mtu) || plan.mtu < LEAST_MTU || plan.mtu > LARGEST_MTU) {
    throw invalid(`An MTU of ${plan.mtu} bytes is not possible`, `Use ${LEAST_MTU} to ${LARGEST_MTU}.`)
  }
  const addresses = literals(plan.addresses)
  if (addresses.length === 0) throw invalid('A tunnel interface needs an address', 'Enrol again: the broker gives one.')
  const families = new Set(addresses.map(familyOf))
  const routes = unique(plan.routes.map(networkText)).filter((route) => families.has(familyOf(route)))
  const checked = { name: plan.name, addresses, mtu: plan.mtu, routes }
  if (plan.all === undefined) return checked
  const outside = literals(plan.all.outside)
  const trapped = outside.find((address) => routes.some((route) => contains(parseCidr(route), parseCidr(address).address)))
  if (trapped !== undefined) {
    const mend = 'Give the broker an address outside the fleet’s networks, or the fleet other networks.'
    throw new AditError(
      'network-overlap',
      `${trapped} must stay outside the tunnel, but lies in a network that goes into it.`,
      mend,
    )
  }
  return { ...checked, all: { outside, dns: literals(plan.all.dns).slice(0, MOST_NAME_SERVERS) } }
}

export type Family = '4' | '6'

export const families: readonly Family[] = ['4', '6']

/** Of an address or network in text. */
export const familyOf = (text: string): Family => (text.includes(':') ? '6' : '4')

function literals(texts: readonly string[]): string[] {
  return unique(
    texts.map((text) => {
      const bytes = tryParseAddress(text)
      if (bytes === undefined)
        throw invalid(`${JSON.stringify(text)} is no literal address`, 'Write it as 192.0.2.1 or 2001:db8::1.')
      return formatAddress(bytes)
    }),
  )
}

function networkText(text: string): string {
  let cidr: Cidr
  try {
    cidr = parseCidr(text)
  } catch {
    throw invalid(`${JSON.stringify(text)} is no network`, 'Write it as 192.0.2.0/24 or 2001:db8::/32.')
  }
  // A default route in the main table would take the tunnel's own datagrams with it.
  if (cidr.prefix === 0) throw invalid(`${text} is everything`, 'Say route = "all" for that.')
  const address = cidr.address.map((byte, i) => byte & (0xff << Math.max(0, Math.min(8, 8 * (i + 1) - cidr.prefix))))
  return formatCidr({ address, prefix: cidr.prefix })
}

const unique = (texts: readonly string[]): string[] => [...new Set(texts)]

const invalid = (what: string, mend: string): AditError => new AditError('config-invalid', `${what}.`, mend)
