import type { Identity } from '#agent/io/identity.ts'

/**
 * What a station shows to the boards of its line holds together also while the fleet's roots follow one another: it trusts every root that its
 * chains lead to, and its own chain is whole under the first of them. A claim may pin a root that issues no more, and only the broker has
 * what is missing then. `due`: the certificate is to be renewed in any case. Throws AditError.
 */
export async function keepStanding(identity: Identity, due: boolean): Promise<void> {
  await identity.gatherRoots()
  if (!due && identity.hasIssuers) return
  await identity.renew()
  await identity.gatherRoots()
}
