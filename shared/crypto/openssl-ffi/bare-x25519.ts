import { CryptoError, type DiffieHellman, type KeyPair } from '../suite.ts'
import type { CFunction, CLibraries, CMemory } from './evp.ts'

const LENGTH = 32
/** Where a result, a private key and a public key lie for one call. Bytes. */
const ROOM = { result: 0, own: LENGTH, peer: 2 * LENGTH, length: 3 * LENGTH } as const

/** The major version whose functions are called here. Their parameters have been the same since 1.1.0. */
const MAJOR = 3

/** What OpenSSL's own EVP calls: crypto/ec/curve25519.c. */
export interface X25519Functions {
  /** (result, private key, public key), 32 bytes each; 1, or 0 where the result is zero. */
  readonly agree: CFunction
  /** (result, private key) */
  readonly publicOf: (result: number, own: number) => void
}

/** Undefined where the process shows no such functions: a shared libcrypto hides them. */
export function x25519Functions(libraries: CLibraries): X25519Functions | undefined {
  try {
    const own = libraries.library(null)
    const version = own.function('unsigned long OpenSSL_version_num()')
    if (version() >>> 28 !== MAJOR) return undefined
    return {
      agree: own.function('int ossl_x25519(uintptr_t result, uintptr_t own, uintptr_t peer)'),
      publicOf: own.function('void ossl_x25519_public_from_private(uintptr_t result, uintptr_t own)'),
    }
  } catch {
    return undefined
  }
}

/**
 * X25519 (RFC 7748) by the functions beneath EVP: the same arithmetic without an object about each key, which costs a tenth of an agreement
 * and a third of a new pair. Nothing is kept between calls. Every 32 bytes are a public key (§5); what may come out is checked (§6.1).
 */
export class BareX25519 implements DiffieHellman {
  readonly publicKeyLength = LENGTH
  readonly sharedLength = LENGTH
  readonly #functions: X25519Functions
  readonly #memory: CMemory
  readonly #random: (length: number) => Uint8Array
  readonly #at: number

  /** Takes 96 bytes of `memory`. */
  constructor(functions: X25519Functions, memory: CMemory, random: (length: number) => Uint8Array) {
    this.#functions = functions
    this.#memory = memory
    this.#random = random
    this.#at = memory.allocate(ROOM.length)
  }

  generate(): KeyPair {
    return this.#pairOf(this.#random(LENGTH))
  }

  pair(privateKey: Uint8Array): KeyPair {
    return this.#pairOf(Uint8Array.from(privateKey))
  }

  shared({ privateKey }: KeyPair, publicKey: Uint8Array): Uint8Array {
    if (publicKey.length !== LENGTH) throw new CryptoError('length', `an X25519 public key has 32 bytes, not ${publicKey.length}`)
    const address = this.#place(privateKey)
    this.#memory.bytes.set(publicKey, this.#at + ROOM.peer)
    const isGood = this.#functions.agree(address, address + ROOM.own, address + ROOM.peer) === 1
    const secret = this.#takeOut()
    if (!isGood) throw new CryptoError('low-order', 'the public key has a small order')
    return secret
  }

  /** Takes `privateKey` over. */
  #pairOf(privateKey: Uint8Array): KeyPair {
    const address = this.#place(privateKey)
    this.#functions.publicOf(address, address + ROOM.own)
    return { publicKey: this.#takeOut(), privateKey }
  }

  /** Returns the address of the result; the private key lies at its place behind it. */
  #place(privateKey: Uint8Array): number {
    if (privateKey.length !== LENGTH)
      throw new CryptoError('length', `an X25519 private key has 32 bytes, not ${privateKey.length}`)
    this.#memory.bytes.set(privateKey, this.#at + ROOM.own)
    return this.#memory.address(this.#at, ROOM.length)
  }

  /** What has come out, fresh; no copy of it stays, nor of the private key. */
  #takeOut(): Uint8Array {
    const { bytes } = this.#memory
    const at = this.#at
    const taken = bytes.slice(at, at + LENGTH)
    bytes.fill(0, at, at + ROOM.length)
    return taken
  }
}
