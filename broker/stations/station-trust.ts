import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Station } from '#broker/stations/station.ts'

/**
 * Keeps the CAs of stations among those that may issue for devices: a live station's for whatever it signs, a revoked one's for the
 * certificates that were known here before, and for none where its units went with it. Returns what ends the watch.
 */
export function trustStations(
  registry: Pick<Registry, 'stations' | 'onChange'>,
  authority: Pick<AuthorityFace, 'issuers' | 'standing' | 'onChange'>,
): () => void {
  const apply = (): void => {
    for (const station of registry.stations.all()) applyOne(station, registry, authority)
  }
  apply()
  const stopHearing = registry.onChange((change) => {
    if (change.kind === 'stations') apply()
  })
  const stopWatching = authority.onChange(apply)
  return () => {
    stopHearing()
    stopWatching()
  }
}

function applyOne(
  { ca, formerCas, issuerHex, revokedAt, unitsRevoked }: Station,
  { stations }: Pick<Registry, 'stations'>,
  { issuers, standing }: Pick<AuthorityFace, 'issuers' | 'standing'>,
): void {
  if (ca === undefined || issuerHex === undefined) return
  if (unitsRevoked) {
    issuers.remove(ca)
    return
  }
  // Also one that issues no more, and whose key is destroyed: what hangs of it may still renew.
  const above = standing.authorities.flatMap(({ forms }) => forms).filter(({ subjectKey }) => subjectKey === ca.issuerKey)
  const believed = standing.authorities.flatMap(({ forms, past, word }) => (word === 'nothing' ? [] : [...forms, ...past]))
  const past = formerCas.flatMap((former) => [former, ...believed.filter(({ subjectKey }) => subjectKey === former.issuerKey)])
  const closed = revokedAt !== undefined
  issuers.add({
    role: 'device',
    certificate: ca,
    above,
    past,
    ...(closed && { holds: ({ serialHex }) => stations.isKept(issuerHex, serialHex) }),
  })
}
