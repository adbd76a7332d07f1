import type { Evidence } from '../evidence.ts'
import type { NameFact } from '../facts.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'

/** Longer than this, a resolver that answers is slow, ms. */
const slowMs = 2_000

/** Does DNS find the broker, and does it find the right one (F-08)? */
export function names(evidence: Evidence): Finding[] {
  return evidence.names.map((name) => verdictOf(name, evidence)).filter((finding) => finding !== undefined)
}

function verdictOf(name: NameFact, evidence: Evidence): Finding | undefined {
  const { host, outcome, tookMs, addresses, known } = name
  const reachable = works(known, evidence)
  const saved = reachable ? ' The addresses from before serve meanwhile.' : ''
  const worst = reachable ? warn : broken
  if (outcome === 'silent') {
    // Where nothing at all answers, the resolver is one of many: that is said elsewhere.
    if (!evidence.anyAnswer) return known.length > 0 || !evidence.hasRoute ? undefined : nothing(host)
    return worst(
      'dns-dead',
      `No name server answers for ${host}.${saved}`,
      'Check the name servers in /etc/resolv.conf, and that port 53 is open to them.',
    )
  }
  if (outcome === 'failed')
    return worst('dns-dead', `The name server fails on ${host}.${saved}`, 'Check the name servers in /etc/resolv.conf.')
  if (outcome === 'not-found') {
    const mend = 'Check the spelling of the name, that it is public, and that this network asks a name server that knows it.'
    return worst('dns-not-found', `DNS knows no address of ${host}.${saved}`, mend)
  }
  const alien = addresses.filter((address) => !known.includes(address))
  if (reachable && alien.length === addresses.length && !works(alien, evidence) && refutes(alien, evidence)) {
    const text = `DNS says that ${host} is at ${alien.join(' ')}, where somebody else is or nobody; at ${known.join(' ')} it answers.`
    return warn(
      'dns-wrong',
      text,
      'Check the record, and whether this network answers DNS falsely; the agent goes by who proves to be the broker.',
    )
  }
  if (tookMs > slowMs)
    return warn(
      'dns-slow',
      `DNS took ${(tookMs / 1000).toFixed(1)} s for ${host}.`,
      'Put a nearer or a working name server first in /etc/resolv.conf.',
    )
  return ok('dns', `${host} is at ${addresses.join(' ')}.`)
}

/** A dead name server and a dead uplink look the same where there is nothing else to ask. */
const nothing = (host: string): Finding =>
  broken(
    'nothing-answers',
    `No name server answers for ${host}, and no address of the broker is known that could be asked instead.`,
    "Check this network's connection to the internet, then the name servers in /etc/resolv.conf.",
  )

/** Whether the broker has proven itself, or at least answered by STUN, at one of these. */
function works(addresses: readonly string[], evidence: Evidence): boolean {
  const isOne = ({ endpoint }: { endpoint: { address: string } }): boolean => addresses.includes(endpoint.address)
  if (evidence.doors.some((door) => isOne(door) && door.tls?.kind === 'proven')) return true
  return evidence.udp.some((door) => isOne(door) && door.answered > 0)
}

/** Whether these were asked and the answer was wrong or none. */
function refutes(addresses: readonly string[], evidence: Evidence): boolean {
  const asked = [...evidence.udp, ...evidence.doors].filter(({ endpoint }) => addresses.includes(endpoint.address))
  return asked.length > 0
}
