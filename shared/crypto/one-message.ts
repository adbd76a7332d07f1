import type { Aead, AeadAlgorithm } from './suite.ts'

/** `sealOnce` and `openOnce` where a key costs little more than its copy. */
export function oneMessage(key: (key: Uint8Array) => Aead): Pick<AeadAlgorithm, 'sealOnce' | 'openOnce'> {
  const once = (raw: Uint8Array, use: (aead: Aead) => number): number => {
    const aead = key(raw)
    try {
      return use(aead)
    } finally {
      aead.wipe()
    }
  }
  return {
    sealOnce: (raw, nonce, aad, input, out) => once(raw, (aead) => aead.seal(nonce, aad, input, out)),
    openOnce: (raw, nonce, aad, input, out) => once(raw, (aead) => aead.open(nonce, aad, input, out)),
  }
}
