import type { KeyPair, Suite } from './suite.ts'

/** An identity key whose private half is not ours to hold: a token signs with it. */
export interface IdentitySigner {
  /** P-256, uncompressed: 65 bytes. */
  readonly publicKey: Uint8Array
  /** ECDSA with SHA-256, DER. Throws AditError where the token does not sign. */
  sign(message: Uint8Array): Uint8Array
}

/** The P-256 key of an agent, in a file or in hardware. */
export type IdentityKey = KeyPair | IdentitySigner

/** ECDSA with SHA-256, DER, by whichever holds the key. */
export const signAs = (key: IdentityKey, message: Uint8Array, suite: Pick<Suite, 'ecdsaP256'>): Uint8Array =>
  'sign' in key ? key.sign(message) : suite.ecdsaP256.sign(key, message)
