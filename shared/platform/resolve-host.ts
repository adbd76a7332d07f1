import { lookup as systemLookup } from 'node:dns/promises'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** How long the resolver may take, in ms: alone, and where addresses that were good before stand ready (F-08). */
const patience = { alone: 5_000, withLastGood: 1_500 }

export interface ResolveOptions {
  /** Addresses that answered before, tried after what DNS says, or instead of it. */
  lastGood: readonly string[]
  lookup?(host: string): Promise<readonly string[]>
}

/** The addresses to try for a host, in order; a literal address is itself. Throws where DNS fails and nothing is remembered. */
export async function resolveHost(host: string, options: ResolveOptions): Promise<readonly string[]> {
  if (tryParseAddress(host) !== undefined) return [host]
  const { lastGood } = options
  try {
    const limit = lastGood.length > 0 ? patience.withLastGood : patience.alone
    const found = await within(limit, (options.lookup ?? lookupAll)(host), `DNS does not answer for ${host}`)
    return [...new Set([...found, ...lastGood])]
  } catch (error) {
    if (lastGood.length > 0) return lastGood
    throw error
  }
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
