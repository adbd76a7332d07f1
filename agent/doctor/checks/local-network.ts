import type { Evidence } from '../evidence.ts'
import { broken, type Finding, ok } from '../finding.ts'

/** Has this machine a network at all: link, address, route, next hop. */
export function localNetwork(evidence: Evidence): Finding[] {
  const { interfaces, routes } = evidence.facts
  const usable = interfaces?.filter(({ up, addresses }) => up && addresses.length > 0)
  // Whoever was heard is on this machine then, and needs no network.
  if (usable?.length === 0) return evidence.anyAnswer ? [] : [noInterface(interfaces!)]
  const found: Finding[] = []
  if (usable)
    found.push(ok('interfaces', `Network: ${usable.map(({ name, addresses }) => `${name} ${addresses.join(' ')}`).join(', ')}.`))
  if (routes === undefined) return found
  if (!routes.ipv4 && !routes.ipv6) return evidence.anyAnswer ? found : [...found, noRoute(usable === undefined)]
  const families = [routes.ipv4 && 'IPv4', routes.ipv6 && 'IPv6'].filter((family) => family !== false).join(' and ')
  const { gateway } = routes
  // A gateway that forwards answers to nothing else: its own silence counts only with everybody's.
  if (gateway?.answers === false && !evidence.anyAnswer && !evidence.resolverAnswers && !routes.ipv6) {
    const text = `The gateway ${gateway.address} does not answer on the local network.`
    return [
      ...found,
      broken('gateway-silent', text, 'Check the router, its cable or the Wi-Fi, and that this machine is in the right network.'),
    ]
  }
  return [...found, ok('route', `A default route for ${families}${gateway ? `, by ${gateway.address}` : ''}.`)]
}

function noRoute(isAddressUnknown: boolean): Finding {
  if (isAddressUnknown)
    return broken(
      'no-network',
      'This machine has no way out: no link, no address, or no default route.',
      'Check the cable or the Wi-Fi, then the DHCP lease.',
    )
  const text = 'This machine has an address, but no default route: it knows no way out of its own network.'
  return broken('no-route', text, 'Check the DHCP lease or the static configuration: a gateway is missing.')
}

function noInterface(interfaces: readonly { name: string; up: boolean }[]): Finding {
  const linked = interfaces.filter(({ up }) => up)
  if (linked.length > 0) {
    const text = `${linked.map(({ name }) => name).join(', ')} has a link, but no address.`
    return broken('no-address', text, 'Check that a DHCP server is there, or give the interface an address.')
  }
  const names = interfaces.map(({ name }) => name).join(', ')
  return broken(
    'no-interface',
    `No network interface has a link${names === '' ? '' : ` (${names})`}.`,
    'Plug in the cable, or join the Wi-Fi.',
  )
}
