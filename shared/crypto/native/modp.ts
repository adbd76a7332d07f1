import crypto from 'node:crypto'
import { plainView } from '#shared/bytes/view.ts'
import { checkModpPrivate, checkModpPublic } from '../modp-checks.ts'
import { CryptoError, type DiffieHellman, type KeyPair, type ModpGroup } from '../suite.ts'
import { padded } from './padded.ts'

/** OpenSSL's groups, which know the primes by name and so need no test of them. */
const names: Readonly<Record<ModpGroup, string>> = { 14: 'modp14', 15: 'modp15', 16: 'modp16' }
const groups = new Map<ModpGroup, DiffieHellman>()

/** Diffie-Hellman in the safe-prime groups of RFC 3526. */
export function modp(group: ModpGroup): DiffieHellman {
  let made = groups.get(group)
  if (made === undefined) {
    made = safePrimeGroup(names[group])
    groups.set(group, made)
  }
  return made
}

/** OpenSSL of Node 22 refuses what lies outside the subgroup of prime order, where no honest public value lies: 2 generates that. */
function secretOf(dh: crypto.DiffieHellman | crypto.DiffieHellmanGroup, publicKey: Uint8Array): Buffer {
  try {
    return dh.computeSecret(publicKey)
  } catch {
    throw new CryptoError('off-curve', 'the public value is not of the group that 2 generates')
  }
}

function safePrimeGroup(name: string): DiffieHellman {
  const prime = crypto.getDiffieHellman(name).getPrime()
  const size = prime.length
  const objects = new WeakMap<KeyPair, crypto.DiffieHellman | crypto.DiffieHellmanGroup>()

  const pairOf = (dh: crypto.DiffieHellman | crypto.DiffieHellmanGroup, privateKey: Uint8Array): KeyPair => {
    const pair = { publicKey: padded(dh.getPublicKey(), size), privateKey }
    objects.set(pair, dh)
    return pair
  }
  const withPrivate = (privateKey: Uint8Array): crypto.DiffieHellman => {
    checkModpPrivate(privateKey, size)
    const dh = crypto.createDiffieHellman(prime, 2)
    dh.setPrivateKey(privateKey)
    dh.generateKeys()
    return dh
  }
  const adopt = (pair: KeyPair): crypto.DiffieHellman => {
    const dh = withPrivate(pair.privateKey)
    objects.set(pair, dh)
    return dh
  }
  return {
    publicKeyLength: size,
    sharedLength: size,
    generate() {
      const dh = crypto.getDiffieHellman(name)
      dh.generateKeys()
      return pairOf(dh, plainView(dh.getPrivateKey()))
    },
    pair(privateKey) {
      return pairOf(withPrivate(privateKey), Uint8Array.from(privateKey))
    },
    shared(pair, publicKey) {
      checkModpPublic(publicKey, prime)
      return padded(secretOf(objects.get(pair) ?? adopt(pair), publicKey), size)
    },
  }
}
