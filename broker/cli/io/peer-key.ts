import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createStockRequest } from '#shared/pki/request.ts'

/** Kinds of key that are made for a stock IPsec peer. */
export const keyTypes = ['p256', 'p384', 'ed25519', 'rsa3072'] as const
export type KeyType = (typeof keyTypes)[number]

/**
 * A new private key (PKCS#8 in PEM, which every IPsec implementation reads) and a request (PKCS#10 DER) that proves its possession: the
 * broker certifies it without ever seeing it.
 */
export function makePeerKey(type: KeyType, name: string): { privateKey: string; request: Uint8Array } {
  const { publicKey, privateKey } = generate(type)
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const kind = type === 'rsa3072' ? 'rsa' : type
  const hash = { p256: 'sha256', p384: 'sha384', ed25519: undefined, rsa: 'sha256' }[kind]
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    request: createStockRequest(name, { spki, kind, sign: (body) => sign(hash, body, privateKey) }),
  }
}

function generate(type: KeyType): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (type) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' })
    case 'ed25519':
      return generateKeyPairSync('ed25519')
    case 'rsa3072':
      return generateKeyPairSync('rsa', { modulusLength: 3_072 })
  }
}
