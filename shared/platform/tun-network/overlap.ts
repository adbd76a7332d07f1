import { AditError } from '#shared/errors.ts'
import { type Cidr, overlaps, parseCidr } from '#shared/wire/ip-address.ts'
import type { MachineView } from './machine-view.ts'
import type { TunPlan } from './tun-plan.ts'

/**
 * AditError `network-overlap` where a network or address of the plan is also one that this machine has on another interface: of the
 * two, one would silently stop being reachable (DESIGN §5). Routes through a gateway are no matter: the longer prefix wins, as ever.
 */
export function overlapOf(plan: TunPlan, view: MachineView): AditError | undefined {
  const inner = [...plan.addresses, ...plan.routes]
  const addresses = view.addresses
    .filter(({ device }) => device !== plan.name)
    .map(({ device, address }) => ({ outer: address, because: `this machine has ${address} on ${device}` }))
  const networks = view.routes
    .filter(({ device, table, to, onLink }) => device !== plan.name && table === 'main' && to !== 'default' && onLink)
    .map(({ device, to }) => ({ outer: to, because: `this machine is in ${to} by ${device}` }))
  for (const { outer, because } of [...addresses, ...networks]) {
    const network = tryParse(outer)
    const met = network && inner.find((text) => overlaps(parseCidr(text), network))
    if (met !== undefined) return refusal(met, outer, because)
  }
  return undefined
}

function refusal(inner: string, outer: string, because: string): AditError {
  const mend = inner.includes(':')
    ? 'Leave that network or interface, or give it other addresses.'
    : `Leave that network, or let the broker give other addresses: avoid-networks = ["${outer}"] in its [tunnel] configuration.`
  return new AditError('network-overlap', `${inner} goes into the tunnel, but ${because}.`, mend)
}

/** What `ip` shows may be of a family or form that we do not know. */
function tryParse(text: string): Cidr | undefined {
  try {
    return parseCidr(text)
  } catch {
    return undefined
  }
}
