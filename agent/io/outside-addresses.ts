import { tryParseAddress } from '#shared/wire/ip-address.ts'
import { knownEndpoints } from './endpoint-resolver.ts'
import type { FindProxy } from './outer-proxy.ts'
import type { AgentRecord } from './state-folder.ts'

const HTTPS = 443

/**
 * Literal addresses by which the tunnel comes to be, as far as they are known: of the broker, its API, the streams that carry the tunnel where
 * UDP is blocked, and the proxy before these. Where everything else goes into the tunnel, they stay outside.
 */
export function outsideAddresses(record: AgentRecord, proxy: FindProxy): string[] {
  const { addresses, lastEndpoint, config, api } = record
  const known = [...Object.values(addresses ?? {}).flat(), ...(lastEndpoint ? [lastEndpoint.address] : [])]
  const endpoints = config ? knownEndpoints(config.broker.endpoints, record).map(({ address }) => address) : []
  const places = [...api, ...(config?.broker.streams ?? [])].map((url) => new URL(url))
  const proxies = places.flatMap(({ hostname, port }) => proxy(hostname, Number(port) || HTTPS)?.host ?? [])
  const hosts = [...places.map(({ hostname }) => hostname.replace(/^\[|\]$/g, '')), ...proxies]
  return [...new Set([...known, ...endpoints, ...hosts.filter((host) => tryParseAddress(host) !== undefined)])]
}
