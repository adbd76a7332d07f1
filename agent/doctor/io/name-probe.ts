import { lookup } from 'node:dns/promises'
import type { NameFact } from '#agent/doctor/facts.ts'

/** The first try of a resolver takes five seconds; what answers later is as good as dead, ms. */
const patienceMs = 6_000

/** Asks the system's resolver, as the agent does. */
export async function probeName(host: string): Promise<Pick<NameFact, 'outcome' | 'tookMs' | 'addresses'>> {
  const began = performance.now()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), patienceMs)
  })
  const asked = lookup(host, { all: true, verbatim: true }).catch(({ code }: NodeJS.ErrnoException) => String(code))
  const found = await Promise.race([asked, late])
  clearTimeout(timer)
  const tookMs = Math.round(performance.now() - began)
  if (found === 'late') return { outcome: 'silent', tookMs, addresses: [] }
  if (typeof found === 'string') return { outcome: outcomes[found] ?? 'failed', tookMs, addresses: [] }
  return { outcome: 'answered', tookMs, addresses: [...new Set(found.map(({ address }) => address))] }
}

/** EAI_AGAIN is "no name server answers"; the libraries of C give it for a refusal as well. */
const outcomes: Readonly<Record<string, NameFact['outcome']>> = {
  ENOTFOUND: 'not-found',
  ENODATA: 'not-found',
  EAI_AGAIN: 'silent',
}
