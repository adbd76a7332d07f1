import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { decodePem } from '#shared/pki/pem.ts'

/** By what a board and its station name the certificate that is on the board's disk: SHA-256 of the leaf, hex. `chain`: PEM, the leaf first. */
export const heldHash = (chain: string, suite: Pick<Suite, 'hash'>): string =>
  toHex(suite.hash('sha256', decodePem('CERTIFICATE', chain)[0]!))
