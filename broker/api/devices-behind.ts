import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { Holding } from '#broker/registry/ca-census.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { rootName } from '#shared/pki/root-succession.ts'

/**
 * Devices that do not have of the authorities what they are to have now: they trust other roots, or their certificate is by a CA that issues
 * no more. By their number in the registry; of one alone where `id` is given.
 */
export async function devicesBehind(
  { authority, registry, suite }: { authority: AuthorityFace; registry: Pick<Registry, 'authorities'>; suite: Suite },
  id?: number,
): Promise<Set<number>> {
  const { trustedRoots, knownRoots, authorities } = authority.standing
  const isFirst = knownRoots.length === 1 && authorities.filter(({ role }) => role === 'device').length === 1
  if (isFirst) return new Set()
  const wanted = trustedRoots
    .map((root) => rootName(root, suite))
    .sort()
    .join()
  const holdings = await registry.authorities.holdings(id)
  const issuers = new Set([...holdings.values()].map(({ issuerHex }) => issuerHex))
  const superseded = new Set([...issuers].filter((issuerHex) => authority.isSuperseded(issuerHex, 'device')))
  const isBehind = ([, { roots, issuerHex }]: [number, Holding]): boolean => roots !== wanted || superseded.has(issuerHex)
  return new Set([...holdings].filter(isBehind).map(([device]) => device))
}
