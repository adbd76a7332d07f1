import { splitEndpoint } from '#broker/endpoint-text.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

/** How one request reached us. */
interface Reached {
  /** The `Host` header: the name or address that the agent itself uses for the broker. */
  host: string
  /** Our end of the request's connection. */
  localAddress: string | undefined
}

/**
 * The outer UDP endpoints that an agent is told. Configured ones win; they are needed where UDP and the API are reached by different
 * names, or where UDP's port is translated. Otherwise: the socket's own address where it is bound to one, else the host by which
 * the agent reached the API (which only the agent itself could falsify, to its own harm), and the address at which we saw it come in.
 */
export function agentEndpoints(configured: readonly string[], listen: string, reached: Reached): string[] {
  if (configured.length > 0) return [...configured]
  const [host, port] = splitEndpoint(listen)
  if (!isWildcard(host)) return [listen]
  const hosts = [splitEndpoint(reached.host)[0], unmapped(reached.localAddress ?? '')]
  return [...new Set(hosts.filter((name) => name !== ''))].map((name) => endpointText({ address: name, port }))
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::' || host === ''

/** A dual-stack socket shows IPv4 as `::ffff:a.b.c.d`. */
const unmapped = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '')
