import type { DiffieHellman, KeyPair } from '#shared/crypto/suite.ts'

/**
 * A NIST curve with points as IKE writes them: x and y without the leading 04 (RFC 5903 §7). The provider keeps its own form of a pair
 * by the pair's identity, so the pair that it made travels along inside ours.
 */
export function barePoints(curve: DiffieHellman): DiffieHellman {
  return {
    publicKeyLength: curve.publicKeyLength - 1,
    sharedLength: curve.sharedLength,
    generate: () => new BarePair(curve.generate()),
    pair: (privateKey) => new BarePair(curve.pair(privateKey)),
    shared(pair, publicKey) {
      const whole = pair instanceof BarePair ? pair.whole : { privateKey: pair.privateKey, publicKey: withPrefix(pair.publicKey) }
      return curve.shared(whole, withPrefix(publicKey))
    },
  }
}

class BarePair implements KeyPair {
  readonly whole: KeyPair
  readonly publicKey: Uint8Array
  readonly privateKey: Uint8Array

  constructor(whole: KeyPair) {
    this.whole = whole
    this.publicKey = whole.publicKey.subarray(1)
    this.privateKey = whole.privateKey
  }
}

function withPrefix(point: Uint8Array): Uint8Array {
  const whole = new Uint8Array(1 + point.length)
  whole[0] = 4
  whole.set(point, 1)
  return whole
}
