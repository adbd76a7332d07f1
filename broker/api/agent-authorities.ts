import type { IncomingHttpHeaders } from 'node:http'
import type { AuthorityFace, Peer } from '#broker/identity/authority.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { rootName } from '#shared/pki/root-succession.ts'

/** Certificates a second that agents ask for when they are to move to another CA: a fiftieth of what one core can issue. */
const renewalsPerSecond = 5
const leastSpread = 60

/**
 * What an agent is told of the authorities: the roots, and within how many seconds to renew where its certificate is by a CA that issues no
 * more. The span grows with the fleet, and each agent throws dice within it: they do not come in one second.
 */
export function agentAuthorities(
  { role, issuerHex }: Peer,
  { authority, suite, agents }: { authority: Pick<AuthorityFace, 'standing' | 'isSuperseded'>; suite: Suite; agents: number },
): { roots: string[]; renewWithinSeconds?: number } {
  const roots = authority.standing.trustedRoots.map((root) => rootName(root, suite))
  if (!authority.isSuperseded(issuerHex, role)) return { roots }
  return { roots, renewWithinSeconds: Math.max(leastSpread, Math.ceil(agents / renewalsPerSecond)) }
}

/** The roots that an agent says it trusts: header `adit-roots`, SHA-256 in hex with commas between. Undefined where it does not say. */
export function rootsIn(headers: IncomingHttpHeaders): string[] | undefined {
  const text = headers['adit-roots']
  return typeof text === 'string' && /^[0-9a-f]{64}(?:,[0-9a-f]{64}){0,7}$/.test(text) ? text.split(',') : undefined
}
