import type { ClaimCredentials } from '#broker/registry/claim-right.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { decodeBasic } from '#shared/enrolment/basic-credentials.ts'

/** A claim in HTTP Basic. Undefined where there is none: the client is then asked for credentials (401), as stock EST clients expect before they send any. */
export function readBasic(header: string | undefined): ClaimCredentials | undefined {
  const claim = decodeBasic(header)
  return claim && { id: toHex(claim.id), secret: claim.secret }
}
