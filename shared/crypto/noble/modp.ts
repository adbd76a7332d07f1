import { pow } from '@noble/curves/abstract/modular.js'
import { bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'
import { randomBytes } from '@noble/hashes/utils.js'
import { checkModpPrivate, checkModpPublic } from '../modp-checks.ts'
import type { DiffieHellman, ModpGroup } from '../suite.ts'
import { modpParameters } from './modp-primes.ts'

/** Diffie-Hellman in the safe-prime groups of RFC 3526, in bigints: a reference, slow and not constant in time. */
export function modp(group: ModpGroup): DiffieHellman {
  const { prime, size, exponentSize } = modpParameters(group)
  const primeBytes = numberToBytesBE(prime, size)
  const exponentOf = (privateKey: Uint8Array): bigint => {
    checkModpPrivate(privateKey, size)
    return bytesToNumberBE(privateKey)
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
