/**
 * Who a certificate speaks for (DESIGN D4). Each role has its own issuing CA and its own private key purpose, so that a certificate
 * of one role never passes for another's.
 */
export const roles = ['device', 'operator', 'station', 'api'] as const

export type Role = (typeof roles)[number]

/** The roles that stand behind a tunnel; `api` is the broker's own HTTPS server. */
export type PeerRole = Exclude<Role, 'api'>

/** The one subject alternative name that a device, operator or station certificate has: `urn:adit:<role>:<name>`. */
export const subjectUri = (role: PeerRole, name: string): string => `urn:adit:${role}:${name}`
