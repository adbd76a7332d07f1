import { lookup } from 'node:dns/promises'
import type { NameFact } from '#agent/doctor/facts.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { seconds } from '#shared/time/instant.ts'

/** The first try of a resolver takes five seconds; what answers later is as good as dead. */
const patience = seconds(6)

/** Asks the system's resolver, as the agent does. */
export async function probeName(host: string): Promise<Pick<NameFact, 'outcome' | 'tookMs' | 'addresses'>> {
  const began = performance.now()
  const asked = lookup(host, { all: true, verbatim: true }).catch(({ code }: NodeJS.ErrnoException) => String(code))
  const found = await within(systemTimers, patience, asked, () => undefined)
  const tookMs = Math.round(performance.now() - began)
  if (found === undefined) return { outcome: 'silent', tookMs, addresses: [] }
  if (typeof found === 'string') return { outcome: outcomes[found] ?? 'failed', tookMs, addresses: [] }
  return { outcome: 'answered', tookMs, addresses: [...new Set(found.map(({ address }) => address))] }
}

/** EAI_AGAIN is "no name server answers"; the libraries of C give it for a refusal as well. */
const outcomes: Readonly<Record<string, NameFact['outcome']>> = {
  ENOTFOUND: 'not-found',
  ENODATA: 'not-found',
  EAI_AGAIN: 'silent',
}
