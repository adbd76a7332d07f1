import { encodeClaim } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import type { Office, Reach } from '../office.ts'

export interface ClaimTokens {
  readonly reach: Reach
  /** The token of a claim that the registry has made; it says as well how this broker is reached and known. */
  of(claim: { id: Uint8Array; secret: Uint8Array }, role: 'device' | 'operator' | 'station'): string
}

/** Throws `broker-not-running` where nobody knows how the broker will be reached: ask it before the claim is made. */
export async function claimTokens(office: Office): Promise<ClaimTokens> {
  const { authority, registry, suite } = office
  const reach = await office.reach()
  const { api, addresses } = reach
  if (api.length === 0) {
    const message = 'It is not known where the API will listen, since its port is 0 and no broker runs.'
    throw new AditError('broker-not-running', message, 'Start the broker first, or set public-api in the configuration.')
  }
  const { pinned } = registry.statements
  const optional = { ...(addresses.length > 0 && { addresses }), ...(pinned && { fleetKey: pinned }) }
  return {
    reach,
    of: ({ id, secret }, role) => encodeClaim({ api, ca: authority.rootFingerprint, id, secret, role, ...optional }, suite),
  }
}
