/** Why a certificate was revoked: CRLReason of RFC 5280 §5.3.1, those that this program gives. */
export const revocationReasons = {
  unspecified: 0,
  'key-compromise': 1,
  'affiliation-changed': 3,
  superseded: 4,
  'cessation-of-operation': 5,
  'privilege-withdrawn': 9,
} as const

export type RevocationReason = keyof typeof revocationReasons

/** Those that stand in lists: of a CA's certificate too, which no command revokes by itself. */
export const listedReasons = { ...revocationReasons, 'ca-compromise': 2 } as const

export type ListedReason = keyof typeof listedReasons

/** Undefined for what is none. */
export const tryParseReason = (text: string | null | undefined): RevocationReason | undefined =>
  typeof text === 'string' && Object.hasOwn(revocationReasons, text) ? (text as RevocationReason) : undefined
