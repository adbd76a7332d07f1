import type { Ip } from './ip-command.ts'
import { addressKey, PROTOCOL, RULE, routeKey, ruleKey, TABLE } from './setting.ts'
import { type Family, families, familyOf } from './tun-plan.ts'

/** What this machine's network is like, as `ip -j` tells it. */
export interface MachineView {
  /** Of every interface. */
  readonly addresses: readonly { readonly device: string; readonly address: string }[]
  readonly routes: readonly RouteView[]
  /** Those in the range of ours, whoever made them. */
  readonly rules: readonly RuleView[]
}

export interface RouteView {
  readonly family: Family
  /** The main table, or the one that is ours. */
  readonly table: 'main' | '14500'
  /** CIDR, host address or `default`. */
  readonly to: string
  readonly device: string | undefined
  /** `unicast`, or what becomes of the packets otherwise. */
  readonly type: string
  /** No gateway between: the network of an interface. */
  readonly onLink: boolean
  readonly metric: number
}

export interface RuleView {
  readonly family: Family
  readonly priority: number
  /** Host address, CIDR or `all`. */
  readonly to: string
  readonly ours: boolean
}

/** What `ip -j` prints; what we do not read is left out. */
interface AddressJson {
  readonly ifname?: string
  readonly addr_info?: readonly { readonly local?: string }[]
}
interface RouteJson {
  readonly dst?: string
  readonly dev?: string
  readonly gateway?: string
  readonly via?: unknown
  readonly nexthops?: unknown
  readonly type?: string
  readonly metric?: number
}
interface RuleJson {
  readonly priority?: number
  readonly dst?: string
  readonly dstlen?: number
  readonly protocol?: string
}

/** Asks for all at once. */
export async function viewMachine(ip: Ip): Promise<MachineView> {
  const perFamily = async <T>(ask: (family: Family) => Promise<T[]>): Promise<T[]> =>
    (await Promise.all(families.map(ask))).flat()
  const [addresses, main, ours, rules] = await Promise.all([
    ip.list<AddressJson>(undefined, 'address', 'show'),
    perFamily(async (family) => routesOf(family, 'main', await ip.list<RouteJson>(family, 'route', 'show', 'table', 'main'))),
    perFamily(async (family) =>
      routesOf(family, '14500', await ip.list<RouteJson>(family, 'route', 'show', 'table', String(TABLE))),
    ),
    perFamily(async (family) => rulesOf(family, await ip.list<RuleJson>(family, 'rule', 'show'))),
  ])
  return { addresses: addressesOf(addresses), routes: [...main, ...ours], rules }
}

/** The keys of settings of interface `name` that are there. */
export function presentKeys(view: MachineView, name: string): Set<string> {
  return new Set([
    ...view.addresses.filter(({ device }) => device === name).map(({ address }) => addressKey(address)),
    ...view.routes.map(({ family, table, to, device, type }) =>
      routeKey(family, table, to, type === 'unicast' ? (device ?? '') : type),
    ),
    ...view.rules.filter(({ ours }) => ours).map(({ family, priority, to }) => ruleKey(family, priority, to)),
  ])
}

/** The lines that take back all rules of ours and empty our table, by what is there; those of rules first, the tunnel's before all. */
export function undoLines(view: MachineView, family: Family): string[] {
  const rules = view.rules.filter((rule) => rule.family === family && rule.ours)
  rules.sort((a, b) => Number(b.priority === RULE.tunnel) - Number(a.priority === RULE.tunnel))
  const routes = view.routes.filter((route) => route.family === family && route.table === '14500')
  return [
    ...rules.map(({ priority, to }) => `rule del ${to === 'all' ? '' : `to ${to} `}priority ${priority} protocol ${PROTOCOL}`),
    ...routes.map(({ to, type, device, metric }) => {
      const where = type === 'unicast' ? `${to}${device === undefined ? '' : ` dev ${device}`}` : `${type} ${to}`
      return `route del ${where} table ${TABLE}${metric === 0 ? '' : ` metric ${metric}`}`
    }),
  ]
}

const addressesOf = (list: readonly AddressJson[]): MachineView['addresses'] =>
  list.flatMap(({ ifname = '', addr_info = [] }) =>
    addr_info.flatMap(({ local }) => (local === undefined ? [] : [{ device: ifname, address: local }])),
  )

const routesOf = (family: Family, table: RouteView['table'], list: readonly RouteJson[]): RouteView[] =>
  list.flatMap(({ dst, dev, gateway, via, nexthops, type = 'unicast', metric = 0 }) =>
    dst === undefined || (dst !== 'default' && familyOf(dst) !== family)
      ? []
      : [{ family, table, to: dst, device: dev, type, metric, onLink: isNetworkOfLink([gateway, via, nexthops], type) }],
  )

const isNetworkOfLink = (ways: readonly unknown[], type: string): boolean =>
  type === 'unicast' && ways.every((way) => way === undefined)

const rulesOf = (family: Family, list: readonly RuleJson[]): RuleView[] =>
  list.flatMap(({ priority, dst = 'all', dstlen, protocol }) =>
    priority === undefined || priority < RULE.outside || priority > RULE.end
      ? []
      : [{ family, priority, to: dstlen === undefined ? dst : `${dst}/${dstlen}`, ours: protocol === String(PROTOCOL) }],
  )
