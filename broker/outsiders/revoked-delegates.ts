import type { Registry } from '#broker/registry/registry.ts'
import type { Station } from '#broker/stations/station.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import type { RevocationReason } from '#shared/pki/revocation-reason.ts'

type Stations = Pick<Registry['stations'], 'all'>

/** What is said of a station's CA, whether it was withdrawn by itself or with its units. */
const reason: RevocationReason = 'privilege-withdrawn'

/**
 * The CAs of revoked stations that `issuer` has signed and that are not expired at `now`, as entries of its list: `at` in wall-clock ms.
 * Outsiders then believe none of the units below, also where we ourselves go on with those that were known here: a list has no words for
 * that, and such a unit has a certificate by our own CA from its next renewal on.
 */
export const revokedDelegates = (stations: Stations, issuer: Certificate, now: number) =>
  [...stations.all()].flatMap((station) => {
    const { revokedAt: at } = station
    if (at === undefined) return []
    const listed = casOf(station).filter((ca) => isBy(ca, issuer) && ca.notAfter >= now)
    return listed.map(({ serialHex }) => ({ serialHex, at, reason }))
  })

/** What there is to say of a station's CA with that serial number (hex); undefined: `issuer` has signed none such. */
export function delegateStatus(stations: Stations, issuer: Certificate, serialHex: string) {
  const station = [...stations.all()].find((one) => casOf(one).some((ca) => ca.serialHex === serialHex && isBy(ca, issuer)))
  if (station === undefined) return undefined
  return station.revokedAt === undefined ? {} : { revokedAt: station.revokedAt, reason }
}

/** The CAs of stations of which `issuer` has signed a certificate: SHA-256 of the SPKI, hex, and the Name DER. */
export const delegatesOf = (stations: Stations, issuer: Certificate): { issuerHex: string; subject: Uint8Array }[] =>
  [...stations.all()].flatMap((station) => {
    const { issuerHex, ca } = station
    if (issuerHex === undefined || ca === undefined || !casOf(station).some((one) => isBy(one, issuer))) return []
    return [{ issuerHex, subject: ca.subject }]
  })

/** The certificate that a station's CA has, and those that it had. */
const casOf = ({ ca, formerCas }: Station): Certificate[] => (ca === undefined ? [] : [ca, ...formerCas])

const isBy = (ca: Certificate, issuer: Certificate): boolean => ca.issuerKey === issuer.subjectKey
