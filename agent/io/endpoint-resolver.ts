import { lookup } from 'node:dns/promises'
import { splitHostPort } from '#agent/core/agent-config.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** A resolver that has not answered by then is as good as dead for this time; the known addresses serve meanwhile. */
const LOOKUP_PATIENCE = seconds(5)
/** Addresses kept of one host: an answer of a thousand shall not make the agent try them all. */
const MOST_ADDRESSES = 8
const MOST_PROVEN = 3

/** By host name, in the order to try. */
export type Addresses = Readonly<Record<string, readonly string[]>>
export type Lookup = (host: string) => Promise<readonly string[]>

/**
 * What is known of where hosts are (F-08). DNS only says; a proof is an authentic answer from there. An address that was proven stays the
 * first until another one is: a poisoned answer is tried after it, and replaces nothing.
 */
export interface KnownAddresses {
  readonly addresses?: Addresses
  /** The newest first. */
  readonly proven?: Addresses
}

/** The literals for `host:port` texts that need no DNS, and those that are known for their names. Order is kept; IPv6 as it comes. */
export function knownEndpoints(texts: readonly string[], known: KnownAddresses): Endpoint[] {
  return texts.flatMap((text) => {
    const endpoint = splitHostPort(text)
    if (endpoint === undefined) return []
    return addressesOf(endpoint.address, known).map((address) => ({ address, port: endpoint.port }))
  })
}

/** The addresses to try for a host, the proven ones first. */
export function addressesOf(host: string, { addresses, proven }: KnownAddresses): readonly string[] {
  if (isLiteral(host)) return [host]
  return [...new Set([...(proven?.[host] ?? []), ...(addresses?.[host] ?? [])])].slice(0, MOST_ADDRESSES)
}

/** Asks DNS for every host name in `texts`, all at once. Returns what is then known; names that do not resolve keep what they had. */
export async function resolveHosts(
  texts: readonly string[],
  before: Addresses,
  timers: Timers,
  ask: Lookup = systemLookup,
): Promise<Addresses> {
  const hosts = new Set(
    texts.map((text) => splitHostPort(text)?.address).filter((host) => host !== undefined && !isLiteral(host)),
  )
  const found = await Promise.all([...hosts].map(async (host) => [host!, await patient(ask(host!), timers)] as const))
  const usable = found.map(([host, addresses]) => [host, addresses.filter(isLiteral).slice(0, MOST_ADDRESSES)] as const)
  return { ...before, ...Object.fromEntries(usable.filter(([, addresses]) => addresses.length > 0)) }
}

/** An authentic answer came from `address`: it goes before all others of each host in `texts` that has it. */
export function proveAddress(texts: readonly string[], address: string, known: KnownAddresses): Addresses {
  const proven: Record<string, readonly string[]> = { ...known.proven }
  for (const text of texts) {
    const host = splitHostPort(text)?.address
    if (host === undefined || isLiteral(host) || !addressesOf(host, known).includes(address)) continue
    proven[host] = [address, ...(proven[host] ?? []).filter((other) => other !== address)].slice(0, MOST_PROVEN)
  }
  return proven
}

const isLiteral = (host: string): boolean => tryParseAddress(host) !== undefined

/** getaddrinfo runs on the thread pool: the event loop goes on however long it takes. */
const systemLookup: Lookup = (host) => {
  const asked = underWay.get(host)
  if (asked !== undefined) return asked
  const answer = lookup(host, { all: true, verbatim: true }).then((found) => found.map(({ address }) => address))
  underWay.set(host, answer)
  const done = (): void => void underWay.delete(host)
  answer.then(done, done)
  return answer
}

/** A dead resolver holds a thread for ten seconds and more: the same question is not put a second time meanwhile. */
const underWay = new Map<string, Promise<readonly string[]>>()

const patient = (answer: Promise<readonly string[]>, timers: Timers): Promise<readonly string[]> =>
  within(
    timers,
    LOOKUP_PATIENCE,
    answer.catch(() => []),
    () => [],
  )
