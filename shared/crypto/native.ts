import { aesGcm, chacha20poly1305 } from './native/aead.ts'
import { aesCbc } from './native/aes-cbc.ts'
import { blake2s } from './native/blake2s.ts'
import { hash, hkdf, hmac, hmacKey } from './native/digest.ts'
import { modp } from './native/modp.ts'
import { x25519 } from './native/montgomery.ts'
import { ecdhP256, ecdhP384, ecdhP521 } from './native/nist-ecdh.ts'
import { random } from './native/random.ts'
import { rsa } from './native/rsa.ts'
import { ecdsaP256, ecdsaP256Raw, ecdsaP384, ed25519 } from './native/signers.ts'
import { xchacha20poly1305 } from './noble/aead.ts'
import { blake2b } from './noble/digest.ts'
import type { Suite } from './suite.ts'

/**
 * OpenSSL through node:crypto. OpenSSL's build in Node has neither XChaCha20-Poly1305 nor keyed BLAKE2 (createHash takes no key, and
 * EVP_MAC is not exposed): BLAKE2s, on which every handshake lives, is written out here, the other two come from noble.
 */
export const nativeSuite: Suite = {
  name: 'native',
  random,
  x25519,
  ecdhP256,
  ecdhP384,
  ecdhP521,
  modp,
  ed25519,
  ecdsaP256,
  ecdsaP256Raw,
  ecdsaP384,
  rsa,
  chacha20poly1305,
  xchacha20poly1305,
  aesGcm,
  aesCbc,
  hash,
  blake2s,
  blake2b,
  hmac,
  hmacKey,
  hkdf,
}
