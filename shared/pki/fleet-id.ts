import type { Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'

/**
 * The name of a fleet, 32 bytes: the SHA-256 of the very first root's certificate. Roots that succeed it bear the name in an extension, so
 * that whoever holds any of them knows which fleet it is: what the fleet key has signed speaks of the fleet by this name, for ever.
 */
export const fleetIdOf = (root: Certificate, suite: Suite): Uint8Array =>
  Uint8Array.from(root.extensions.fleet ?? suite.hash('sha256', root.der))
