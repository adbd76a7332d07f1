import { pow } from '@noble/curves/abstract/modular.js'
import { bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'
import { randomBytes } from '@noble/hashes/utils.js'
import { checkModpPublic } from '../modp-public.ts'
import { CryptoError, type DiffieHellman, type ModpGroup } from '../suite.ts'
import { modpParameters } from './modp-primes.ts'

/** Diffie-Hellman in the safe-prime groups of RFC 3526, in bigints: a reference, slow and not constant in time. */
export function modp(group: ModpGroup): DiffieHellman {
  const { prime, size, exponentSize } = modpParameters(group)
  const primeBytes = numberToBytesBE(prime, size)
  const exponentOf = (privateKey: Uint8Array): bigint => {
    if (privateKey.length === 0 || privateKey.length > size)
      throw new CryptoError('length', `a private exponent of this group has 1 to ${size} bytes, not ${privateKey.length}`)
    const exponent = bytesToNumberBE(privateKey)
    if (exponent === 0n) throw new CryptoError('key', 'the private exponent cannot be used')
    return exponent
  }
  return {
    publicKeyLength: size,
    sharedLength: size,
    generate() {
      return this.pair(randomBytes(exponentSize))
    },
    pair(privateKey) {
      const publicKey = numberToBytesBE(pow(2n, exponentOf(privateKey), prime), size)
      return { publicKey, privateKey: Uint8Array.from(privateKey) }
    },
    shared(pair, publicKey) {
      checkModpPublic(publicKey, primeBytes)
      return numberToBytesBE(pow(bytesToNumberBE(publicKey), exponentOf(pair.privateKey), prime), size)
    },
  }
}
