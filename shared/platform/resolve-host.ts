import { lookup as systemLookup } from 'node:dns/promises'
import { machineNat64 } from '#shared/platform/nat64.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { seconds } from '#shared/time/instant.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** How long the resolver may take: alone, and where addresses that were good before stand ready (F-08). */
const patience = { alone: seconds(5), withLastGood: seconds(1.5) }
const mostCandidates = 8

export interface ResolveOptions {
  /** Addresses that answered before. They are tried first: a poisoned answer shall not keep us from where the right server was. */
  lastGood: readonly string[]
  lookup?(host: string): Promise<readonly string[]>
}

/**
 * The addresses to try for a host, in order; a literal address is itself. Where the network has a NAT64 in place of IPv4, what it gives is among
 * them. Throws where DNS fails and nothing is remembered.
 */
export async function resolveHost(host: string, options: ResolveOptions): Promise<readonly string[]> {
  return machineNat64.through(await known(host, options))
}

async function known(host: string, options: ResolveOptions): Promise<readonly string[]> {
  if (tryParseAddress(host) !== undefined) return [host]
  const { lastGood } = options
  try {
    const found = await asked(host, lastGood.length > 0, options.lookup ?? lookupAll)
    return [...new Set([...lastGood, ...found])].slice(0, mostCandidates)
  } catch (error) {
    if (lastGood.length > 0) return lastGood
    throw error
  }
}

/** Questions that no resolver has answered yet. Where one is old, and there are other addresses, nobody waits for it again. */
const underWay = new Map<string, Promise<readonly string[]>>()

function asked(
  host: string,
  hasLastGood: boolean,
  lookup: (host: string) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const silent = (): Error => new Error(`DNS does not answer for ${host}`)
  const late = (): never => {
    throw silent()
  }
  const pending = lookup === lookupAll ? underWay.get(host) : undefined
  if (pending !== undefined) return hasLastGood ? Promise.reject(silent()) : within(systemTimers, patience.alone, pending, late)
  const answer = lookup(host)
  if (lookup === lookupAll) {
    underWay.set(host, answer)
    const done = (): void => void underWay.delete(host)
    answer.then(done, done)
  }
  return within(systemTimers, hasLastGood ? patience.withLastGood : patience.alone, answer, late)
}

const lookupAll = async (host: string): Promise<readonly string[]> =>
  (await systemLookup(host, { all: true, verbatim: true })).map(({ address }) => address)
