import { lookup } from 'node:dns/promises'
import { splitHostPort } from '#agent/core/agent-config.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** A resolver that has not answered by then is as good as dead for this time; the cached addresses serve meanwhile. */
const LOOKUP_PATIENCE = seconds(5)

export type Addresses = Readonly<Record<string, readonly string[]>>
export type Lookup = (host: string) => Promise<readonly string[]>

/** The literals for `host:port` texts that need no DNS, and those that DNS gave last time (F-08). Order is kept; IPv6 as it comes. */
export function knownEndpoints(texts: readonly string[], cached: Addresses): Endpoint[] {
  return texts.flatMap((text) => {
    const endpoint = splitHostPort(text)
    if (endpoint === undefined) return []
    const addresses = isLiteral(endpoint.address) ? [endpoint.address] : (cached[endpoint.address] ?? [])
    return addresses.map((address) => ({ address, port: endpoint.port }))
  })
}

/** Asks DNS for every host name in `texts`, all at once. Names that do not resolve keep what the cache has. */
export async function resolveHosts(
  texts: readonly string[],
  cached: Addresses,
  timers: Timers,
  ask: Lookup = systemLookup,
): Promise<Addresses> {
  const hosts = new Set(
    texts.map((text) => splitHostPort(text)?.address).filter((host) => host !== undefined && !isLiteral(host)),
  )
  const found = await Promise.all([...hosts].map(async (host) => [host!, await patient(ask(host!), timers)] as const))
  return { ...cached, ...Object.fromEntries(found.filter(([, addresses]) => addresses.length > 0)) }
}

const isLiteral = (host: string): boolean => tryParseAddress(host) !== undefined

/** getaddrinfo runs on the thread pool: the event loop goes on however long it takes. */
const systemLookup: Lookup = async (host) => (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address)

function patient(answer: Promise<readonly string[]>, timers: Timers): Promise<readonly string[]> {
  return new Promise((resolve) => {
    const timer = timers.setTimer(LOOKUP_PATIENCE, () => resolve([]))
    answer
      .catch(() => [])
      .then((addresses) => {
        timer.clear()
        resolve(addresses)
      })
  })
}
