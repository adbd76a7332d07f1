import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'

/** Bytes of an Ed25519 public key. */
export const FLEET_KEY_LENGTH = 32
const keyIdLength = 16

/** What a statement calls the key that signed it: the first 16 bytes of the SHA-256 of the public key. */
export const keyIdOf = (publicKey: Uint8Array, suite: Pick<Suite, 'hash'>): Uint8Array =>
  suite.hash('sha256', publicKey).subarray(0, keyIdLength)

/** The same for two people to compare by voice: `5f1c 09aa …`, eight groups. */
export const keyFingerprint = (publicKey: Uint8Array, suite: Pick<Suite, 'hash'>): string =>
  (Buffer.from(keyIdOf(publicKey, suite)).toString('hex').match(/.{4}/g) ?? []).join(' ')

/** A public half as a person copies it: 32 bytes in base64. Throws AditError `usage`. */
export function parseFleetKey(text: string): Uint8Array {
  const bytes = Buffer.from(text.trim(), 'base64')
  if (bytes.length === FLEET_KEY_LENGTH && bytes.toString('base64') === text.trim()) return Uint8Array.from(bytes)
  throw new AditError(
    'usage',
    'That is no public fleet key: one is 44 characters of base64.',
    'Copy the line that the administrator sees with: adit fleet show.',
  )
}
