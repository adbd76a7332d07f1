import { createPrivateKey } from 'node:crypto'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'

/** The identity key (P-256) between the form of our crypto port and PKCS#8 PEM (RFC 5958), which OpenSSL and TLS read. */
export function identityKeyToPem(pair: KeyPair): string {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const key = {
    kty: 'EC',
    crv: 'P-256',
    x: text(pair.publicKey.subarray(1, 33)),
    y: text(pair.publicKey.subarray(33)),
    d: text(pair.privateKey),
  }
  return createPrivateKey({ format: 'jwk', key }).export({ type: 'pkcs8', format: 'pem' }) as string
}

/** Throws AditError `storage-failed` where the text is no P-256 private key. */
export function identityKeyFromPem(pem: string, path: string, suite: Suite): KeyPair {
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new TypeError('not a P-256 key')
    const { d } = key.export({ format: 'jwk' })
    return suite.ecdsaP256.pair(new Uint8Array(Buffer.from(d ?? '', 'base64url')))
  } catch (cause) {
    throw new AditError('storage-failed', `${path} holds no P-256 private key.`, 'Enrol again into another state folder.', {
      cause,
    })
  }
}
