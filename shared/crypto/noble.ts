import { randomBytes } from '@noble/hashes/utils.js'
import { aesGcm, chacha20poly1305, xchacha20poly1305 } from './noble/aead.ts'
import { aesCbc } from './noble/aes-cbc.ts'
import { blake2b, blake2s, hash, hkdf, hmac, hmacKey } from './noble/digest.ts'
import { modp } from './noble/modp.ts'
import { x25519 } from './noble/montgomery.ts'
import { ecdhP256, ecdhP384, ecdhP521 } from './noble/nist-ecdh.ts'
import { rsa } from './noble/rsa.ts'
import { ecdsaP256, ecdsaP256Raw, ecdsaP384, ed25519 } from './noble/signers.ts'
import type { Suite } from './suite.ts'

/**
 * The noble libraries: plain JavaScript, no OpenSSL anywhere. It runs in a browser, and it is what `native` is checked against. Slow
 * in the data path (40 us per 1400 B) and in handshakes (900 us per X25519), so no program of ours chooses it on Node.
 */
export const nobleSuite: Suite = {
  name: 'noble',
  random: (length) => randomBytes(length),
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
