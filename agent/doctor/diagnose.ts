import { localMachine } from './checks/local-machine.ts'
import { localNetwork } from './checks/local-network.ts'
import { names } from './checks/names.ts'
import { nat64 } from './checks/nat64.ts'
import { path } from './checks/path.ts'
import { proxy } from './checks/proxy.ts'
import { reach } from './checks/reach.ts'
import { trust } from './checks/trust.ts'
import { tunnel } from './checks/tunnel.ts'
import { Evidence } from './evidence.ts'
import type { Facts } from './facts.ts'
import type { Diagnosis, Finding, FindingState } from './finding.ts'

/**
 * From what is near to what is far. A check keeps silent about what one before it explains, so that one cause gives one broken line; among
 * lines that are equally bad the nearer comes first.
 */
const checks: readonly ((evidence: Evidence) => Finding[])[] = [
  localNetwork,
  names,
  nat64,
  proxy,
  reach,
  trust,
  path,
  tunnel,
  localMachine,
]

const rank: Record<FindingState, number> = { broken: 0, warn: 1, ok: 2 }

/** What the facts mean. Pure: the same facts give the same words. */
export function diagnose(facts: Facts): Diagnosis {
  const evidence = new Evidence(facts)
  const findings = checks.flatMap((check) => check(evidence)).sort((a, b) => rank[a.state] - rank[b.state])
  const [worst] = findings
  return { verdict: worst === undefined ? 'unclear' : worst.state === 'ok' ? 'ok' : worst.code, findings }
}
