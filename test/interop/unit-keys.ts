import { nativeSuite } from '#shared/crypto/native.ts'
import { decodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'

/** SPKI of the key that a bundle holds. */
export const identityFromPem = (pem: string): Uint8Array => p256Spki(decodePrivateKey('p256', pem, nativeSuite).publicKey)
