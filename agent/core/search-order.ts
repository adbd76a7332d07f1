import { type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'

/**
 * The order in which endpoints have their turns: the first UDP address, then the ways that carry datagrams otherwise, whose wait for the
 * first turn is UDP's head start, then the other UDP addresses, the families by turns (RFC 8305 §4); last, those that carried no data.
 */
export function searchOrder(endpoints: readonly Endpoint[], demoted: readonly Endpoint[]): readonly Endpoint[] {
  const isDemoted = (endpoint: Endpoint): boolean => demoted.some((e) => sameEndpoint(e, endpoint))
  const good = endpoints.filter((endpoint) => !isDemoted(endpoint))
  const [first, ...udp] = byTurns(good.filter((endpoint) => !isCarried(endpoint)))
  const carried = good.filter(isCarried)
  return [...(first ? [first] : []), ...carried, ...udp, ...demoted]
}

/** The family of the first one first. */
function byTurns(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const isSix = ({ address }: Endpoint): boolean => address.includes(':')
  const first = endpoints[0]
  if (first === undefined) return []
  const same = endpoints.filter((endpoint) => isSix(endpoint) === isSix(first))
  const other = endpoints.filter((endpoint) => isSix(endpoint) !== isSix(first))
  return same.flatMap((endpoint, i) => [endpoint, ...(other[i] ? [other[i]] : [])]).concat(other.slice(same.length))
}
