import type { Station } from '#broker/stations/station.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { encodeScope, mostNumber, mostUnits } from '#shared/enrolment/delegation.ts'
import { AditError } from '#shared/errors.ts'
import type { Certificate } from '#shared/pki/certificate.ts'

/** What an administrator gives a station beyond what it has; one of the two at least. */
export interface Extension {
  /** Certificates in all, those that it has issued included. */
  readonly quota?: number | undefined
  /** How long it may issue, ms from now. */
  readonly ttl?: number | undefined
}

/** Quota, last number and end of the window as they are to be. `now`: wall-clock ms. Throws AditError `usage` or `revoked`. */
export function extendedTerms(
  station: Station,
  { quota = station.quota, ttl }: Extension,
  now: number,
): Pick<Station, 'quota' | 'last' | 'notAfter'> {
  if (station.revokedAt !== undefined)
    throw new AditError('revoked', `Station ${station.station} was revoked.`, 'Authorise another: adit-broker station authorize')
  const notAfter = ttl === undefined ? station.notAfter : now + ttl
  const last = station.last + quota - station.quota
  if (!Number.isInteger(quota) || quota > mostUnits) throw usage(`A quota is 1 to ${mostUnits}, not ${quota}.`)
  if (quota < station.quota) throw usage(`Station ${station.station} may issue ${station.quota} already: that is not made less.`)
  if (notAfter < station.notAfter)
    throw usage(
      `Station ${station.station} may issue until ${new Date(station.notAfter).toISOString()} already: that is not made less.`,
    )
  if (quota === station.quota && notAfter === station.notAfter)
    throw usage(`That is what station ${station.station} has already: say --quota or --ttl.`)
  if (last > mostNumber) throw usage(`The numbers of ${station.names} are used up.`)
  return { quota, last, notAfter }
}

/**
 * Whether the station's CA certificate is to be made anew, for the same key: the registry allows it more than stands in it, or another CA
 * issues for devices than the one that signed it, or outsiders are sent elsewhere. Not once its window is over, or it is revoked: then there is
 * nothing to give. `issuing`: who issues for devices now; `ocspUrl`: where certificates send outsiders, if anywhere.
 */
export function isDelegationDue(station: Station, issuing: Certificate | undefined, now: number, ocspUrl?: string): boolean {
  const { ca, notAfter, revokedAt } = station
  if (ca === undefined || revokedAt !== undefined || now >= notAfter) return false
  const scope = ca.extensions.delegation
  if (scope === undefined || !equalPublic(scope, encodeScope(station))) return true
  if (issuing === undefined) return false
  // Certificates count in seconds, and end with their issuer's.
  const end = Math.min(seconds(notAfter), seconds(issuing.notAfter))
  if (ca.extensions.places?.ocsp !== ocspUrl) return true
  return ca.issuerKey !== issuing.subjectKey || seconds(ca.notAfter) !== end
}

const seconds = (ms: number): number => Math.floor(ms / 1_000)

const usage = (message: string): AditError => new AditError('usage', message, 'See: adit-broker station extend --help')
