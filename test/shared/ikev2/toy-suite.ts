import { compareBytes } from '#shared/bytes/compare.ts'
import { concat } from '#shared/bytes/concat.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { oneMessage } from '#shared/crypto/one-message.ts'
import type { Aead, AeadAlgorithm, DiffieHellman, Suite } from '#shared/crypto/suite.ts'

/**
 * Cryptography without any strength, from a seed, for schedules by the thousand: whatever differs in a key, a nonce or a byte still makes a
 * message that the other end refuses, which is all that a protocol machine can notice.
 */
export function toySuite(random: (length: number) => Uint8Array): Suite {
  const exchange = (length: number): DiffieHellman => ({
    publicKeyLength: length,
    sharedLength: 32,
    generate: () => ({ publicKey: Uint8Array.of(4, ...random(length - 1)), privateKey: new Uint8Array(32) }),
    pair: () => {
      throw new Error('a toy exchange has no private numbers')
    },
    shared: (pair, other) => mix(...[pair.publicKey, other].sort(compareBytes)),
  })
  return {
    ...nativeSuite,
    random,
    x25519: exchange(32),
    ecdhP256: exchange(65),
    aesGcm: toyAead,
    hash: (_name, ...parts) => mix(...parts),
    hmac: (_name, key, ...parts) => mix(key, Uint8Array.of(0x5c), concat(...parts)),
  }
}

/** Parts are one after another, as in a real hash. */
function mix(...parts: readonly Uint8Array[]): Uint8Array {
  const lanes = Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  let at = 0
  let carry = 0x811c9dc5
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) {
      carry = Math.imul(carry ^ part[i]!, 0x01000193)
      lanes[at]! ^= carry
      at = (at + 1) & 7
    }
  }
  for (let round = 0; round < 24; round++) {
    const lane = round & 7
    carry = Math.imul(carry ^ lanes[lane]! ^ (carry >>> 15), 0x85ebca6b)
    lanes[lane] = carry ^ (carry >>> 13)
  }
  return new Uint8Array(lanes.buffer)
}

const nothing = new Uint8Array()

function toyKey(bytes: Uint8Array): Aead {
  const key = bytes.slice()
  const tagOf = (nonce: Uint8Array, aad: Uint8Array | undefined, plain: Uint8Array): Uint8Array =>
    mix(key, nonce, aad ?? nothing, plain).subarray(0, 16)
  const aead: Aead = {
    seal(nonce, aad, input, out) {
      const tag = tagOf(nonce, aad, input)
      out.set(input)
      out.set(tag, input.length)
      return input.length + 16
    },
    open(nonce, aad, input, out) {
      const plain = input.subarray(0, input.length - 16)
      if (compareBytes(tagOf(nonce, aad, plain), input.subarray(plain.length)) !== 0) return -1
      out.set(plain)
      return plain.length
    },
    wipe: () => {
      key.fill(0)
    },
  }
  return aead
}

const toyAead: AeadAlgorithm = { ...nativeSuite.aesGcm, key: toyKey, ...oneMessage(toyKey) }
