import { type Family, familyOf, type TunPlan } from './tun-plan.ts'

/**
 * A plan as settings of the kernel, each of them one line for `ip -batch` that makes it and one that takes it back. What both plans have
 * in common stays untouched by a change between them.
 *
 * With route = "all", in each family:
 *
 *     14500  to OUTSIDE  goto 14509                      the broker: whatever this machine would do without us
 *     14501  lookup main suppress_prefixlength 7 (6)     the LAN, and the fleet's networks, but no default route
 *     14502  lookup 14500                                default dev TUN; unreachable when that is gone
 *     14509  nop
 *     32766  lookup main                                 the machine's own
 */

/** Of our rules and routes (rtm_protocol, a number that /etc/iproute2/rt_protos gives to nobody): all that is ours can be found by it. */
export const PROTOCOL = 145
/** Our routing table. */
export const TABLE = 14_500
/** Priorities of our rules: after what an administrator puts first by hand, before the main table at 32766. */
export const RULE = { outside: 14_500, near: 14_501, tunnel: 14_502, end: 14_509 } as const
/**
 * Routes of the main table that are no wider than this are the near networks, which stay outside. Wider ones are the internet by another
 * name: default, its halves, 2000::/3. No LAN is wider than 10.0.0.0/8 or fc00::/7.
 */
const WIDEST_SUPPRESSED: Readonly<Record<Family, number>> = { '4': 7, '6': 6 }
/** The last of all metrics. */
const LAST_METRIC = 4_294_967_295

export interface Setting {
  /** What the line's default address family must be: rules say it nowhere else. */
  readonly family: Family | undefined
  readonly add: string
  /** Absent: nothing to take back, the next of its kind replaces it. */
  readonly remove?: string
  /** By which the setting is recognised in what the machine shows; absent: it is not looked for, and making it again is harmless. */
  readonly key?: string
}

/** What this kernel can do with the interface. */
export interface Ipv6Support {
  /** The interface takes IPv6 addresses. */
  readonly inside: boolean
  /** The kernel has IPv6 at all: then it could leak. */
  readonly outside: boolean
}

/** In the order in which they are to be made: nothing is sent into the tunnel before the last one of a family. */
export function settingsOf(plan: TunPlan, ipv6: Ipv6Support): Setting[] {
  const usable = (text: string): boolean => familyOf(text) === '4' || ipv6.inside
  const { name } = plan
  const addresses = plan.addresses.filter(usable)
  const settings: Setting[] = []
  // A link-local address would only send router solicitations into the tunnel, which drops them.
  if (ipv6.inside) settings.push({ family: undefined, add: `link set dev ${name} addrgenmode none` })
  settings.push({ family: undefined, add: `link set dev ${name} mtu ${plan.mtu} up` })
  for (const address of addresses) settings.push(addressSetting(address, name))
  for (const route of plan.routes.filter(usable)) settings.push(routeSetting('main', route, name))
  if (plan.all === undefined) return settings
  const carried = (['4', ...(ipv6.outside ? (['6'] as const) : [])] as const).map((family) => ({
    family,
    inside: addresses.some((address) => familyOf(address) === family),
  }))
  for (const { family, inside } of carried) {
    settings.push(unreachableSetting(family))
    if (inside) settings.push(routeSetting(TABLE, everything[family], name))
  }
  for (const { family } of carried) settings.push(...ruleSettings(family, plan.all.outside))
  return settings
}

/** What must be made, and then taken back, so that `present` becomes `wanted`; each in its order. */
export function difference(present: readonly Setting[], wanted: readonly Setting[]): { add: Setting[]; remove: Setting[] } {
  const lacks = (list: readonly Setting[]) => {
    const lines = new Set(list.map(({ family, add }) => `${family} ${add}`))
    return ({ family, add }: Setting): boolean => !lines.has(`${family} ${add}`)
  }
  return { add: wanted.filter(lacks(present)), remove: present.filter(lacks(wanted)).reverse() }
}

export const addressKey = (address: string): string => `address ${address}`
export const routeKey = (family: Family, table: string, to: string, where: string): string =>
  `route ${family} ${table} ${to} ${where}`
export const ruleKey = (family: Family, priority: number, to: string): string => `rule ${family} ${priority} ${to}`

const everything: Readonly<Record<Family, string>> = { '4': '0.0.0.0/0', '6': '::/0' }

function addressSetting(address: string, name: string): Setting {
  const line = familyOf(address) === '4' ? `${address}/32 dev ${name}` : `${address}/128 dev ${name}`
  // Nobody else is on the link: nothing to wait for before the address serves.
  const add = `address add ${line}${familyOf(address) === '6' ? ' nodad' : ''}`
  return { family: undefined, add, remove: `address del ${line}`, key: addressKey(address) }
}

function routeSetting(table: 'main' | typeof TABLE, to: string, name: string): Setting {
  const line = `${to} dev ${name} table ${table} proto ${PROTOCOL}`
  const key = routeKey(familyOf(to), String(table), shownNetwork(to), name)
  return { family: undefined, add: `route add ${line}`, remove: `route del ${line}`, key }
}

function unreachableSetting(family: Family): Setting {
  const line = `unreachable ${everything[family]} table ${TABLE} metric ${LAST_METRIC} proto ${PROTOCOL}`
  const key = routeKey(family, String(TABLE), 'default', 'unreachable')
  return { family: undefined, add: `route add ${line}`, remove: `route del ${line}`, key }
}

function ruleSettings(family: Family, outside: readonly string[]): Setting[] {
  const rule = (priority: number, to: string, action: string): Setting => {
    const line = `${to === 'all' ? '' : `to ${to} `}priority ${priority} ${action} protocol ${PROTOCOL}`
    return { family, add: `rule add ${line}`, remove: `rule del ${line}`, key: ruleKey(family, priority, to) }
  }
  return [
    rule(RULE.end, 'all', 'nop'),
    ...outside.filter((address) => familyOf(address) === family).map((to) => rule(RULE.outside, to, `goto ${RULE.end}`)),
    rule(RULE.near, 'all', `lookup main suppress_prefixlength ${WIDEST_SUPPRESSED[family]}`),
    rule(RULE.tunnel, 'all', `lookup ${TABLE}`),
  ]
}

/** As `ip` shows a network: hosts without their length, all as `default`. */
function shownNetwork(cidr: string): string {
  if (cidr.endsWith('/0')) return 'default'
  return cidr.replace(cidr.includes(':') ? /\/128$/ : /\/32$/, '')
}
