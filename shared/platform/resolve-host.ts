import { lookup as systemLookup } from 'node:dns/promises'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** How long the resolver may take, in ms: alone, and where addresses that were good before stand ready (F-08). */
const patience = { alone: 5_000, withLastGood: 1_500 }
const mostCandidates = 8

export interface ResolveOptions {
  /** Addresses that answered before. They are tried first: a poisoned answer shall not keep us from where the right server was. */
  lastGood: readonly string[]
  lookup?(host: string): Promise<readonly string[]>
}

/** The addresses to try for a host, in order; a literal address is itself. Throws where DNS fails and nothing is remembered. */
export async function resolveHost(host: string, options: ResolveOptions): Promise<readonly string[]> {
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
  const why = `DNS does not answer for ${host}`
  const pending = lookup === lookupAll ? underWay.get(host) : undefined
  if (pending !== undefined) return hasLastGood ? Promise.reject(new Error(why)) : within(patience.alone, pending, why)
  const answer = lookup(host)
  if (lookup === lookupAll) {
    underWay.set(host, answer)
    const done = (): void => void underWay.delete(host)
    answer.then(done, done)
  }
  return within(hasLastGood ? patience.withLastGood : patience.alone, answer, why)
}

const lookupAll = async (host: string): Promise<readonly string[]> =>
  (await systemLookup(host, { all: true, verbatim: true })).map(({ address }) => address)

async function within<T>(ms: number, work: Promise<T>, why: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(why)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
