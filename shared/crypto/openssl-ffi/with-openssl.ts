import { type Aead, type AeadAlgorithm, CryptoError, type DiffieHellman, type Suite, wipe } from '../suite.ts'
import type { AeadContext, Direction } from './aead-context.ts'
import { TAG_LENGTH } from './evp.ts'
import { OneMessageContexts } from './one-message-contexts.ts'
import type { AeadName, OpensslCrypto } from './openssl-crypto.ts'
import { checkSizes, PacketRoom } from './packet-room.ts'

/** Contexts live outside the collector's reach: whoever forgets a key without wiping it must not keep them for ever. */
const forgotten = new FinalizationRegistry<Contexts>((contexts) => contexts.wipe())

/**
 * The suite whose AEADs and X25519 go through OpenSSL directly, without an object a packet; everything else is that of `base`. Buffers may be
 * anywhere: they are copied. Takes 66 KiB of the memory of `crypto`.
 */
export function withOpenssl(base: Suite, crypto: OpensslCrypto): Suite {
  const room = new PacketRoom(crypto.memory)
  const contexts = new OneMessageContexts(crypto, room)
  const algorithm = (of: AeadAlgorithm, names: Readonly<Record<number, AeadName>>): AeadAlgorithm => ({
    ...of,
    key(key) {
      const name = names[key.length]
      // The base says what is wrong with the length.
      return name === undefined ? of.key(key) : new FfiAead(new Contexts(crypto, name, room, key), of, room)
    },
    sealOnce(key, nonce, aad, input, out) {
      const name = names[key.length]
      if (name === undefined || room.isTooLong(aad, input)) return of.sealOnce(key, nonce, aad, input, out)
      checkSizes(nonce, out, input.length + TAG_LENGTH)
      return contexts.with(name, 'seal', key, (context) => room.seal(context, nonce, aad, input, out))
    },
    openOnce(key, nonce, aad, input, out) {
      const name = names[key.length]
      if (name === undefined || room.isTooLong(aad, input)) return of.openOnce(key, nonce, aad, input, out)
      checkSizes(nonce, out, input.length - TAG_LENGTH)
      if (input.length < TAG_LENGTH) return -1
      return contexts.with(name, 'open', key, (context) => room.open(context, nonce, aad, input, out))
    },
  })
  return {
    ...base,
    name: 'openssl-ffi',
    x25519: spreadable(crypto.x25519(base.random)),
    chacha20poly1305: algorithm(base.chacha20poly1305, { 32: 'chacha20-poly1305' }),
    aesGcm: algorithm(base.aesGcm, { 16: 'aes-128-gcm', 24: 'aes-192-gcm', 32: 'aes-256-gcm' }),
  }
}

/** Without a prototype behind it: whoever replaces one function of a port spreads the rest. */
function spreadable(dh: DiffieHellman): DiffieHellman {
  const { publicKeyLength, sharedLength } = dh
  return {
    publicKeyLength,
    sharedLength,
    generate: () => dh.generate(),
    pair: (privateKey) => dh.pair(privateKey),
    shared: (pair, publicKey) => dh.shared(pair, publicKey),
  }
}

/** One key and a context of each direction that has been asked for: most keys only ever seal, or only open. */
class Contexts {
  readonly crypto: OpensslCrypto
  readonly key: Uint8Array
  readonly #name: AeadName
  readonly #room: PacketRoom
  #seal: AeadContext | undefined
  #open: AeadContext | undefined

  constructor(crypto: OpensslCrypto, name: AeadName, room: PacketRoom, key: Uint8Array) {
    this.crypto = crypto
    this.#name = name
    this.#room = room
    this.key = new Uint8Array(key)
  }

  of(direction: Direction): AeadContext {
    if (direction === 'seal') {
      this.#seal ??= this.#make(direction)
      return this.#seal
    }
    this.#open ??= this.#make(direction)
    return this.#open
  }

  wipe(): void {
    wipe(this.key)
    this.#seal?.wipe()
    this.#open?.wipe()
    this.#seal = this.#open = undefined
  }

  #make(direction: Direction): AeadContext {
    return this.#room.withKey(this.key, (at) => this.crypto.context(this.#name, direction, at))
  }
}

class FfiAead implements Aead {
  readonly #contexts: Contexts
  readonly #base: AeadAlgorithm
  readonly #room: PacketRoom
  /** Whether there is anything that the collector does not reach: many keys are never used. */
  #isWatched = false
  #wiped = false

  constructor(contexts: Contexts, base: AeadAlgorithm, room: PacketRoom) {
    this.#contexts = contexts
    this.#base = base
    this.#room = room
  }

  seal(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    this.#check(nonce, out, input.length + TAG_LENGTH)
    const context = this.#context('seal')
    if (this.#room.isTooLong(aad, input)) return this.#base.sealOnce(this.#contexts.key, nonce, aad, input, out)
    return this.#room.seal(context, nonce, aad, input, out)
  }

  open(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    const plain = input.length - TAG_LENGTH
    this.#check(nonce, out, plain)
    if (plain < 0) return -1
    if (this.#room.isTooLong(aad, input)) return this.#base.openOnce(this.#contexts.key, nonce, aad, input, out)
    return this.#room.open(this.#context('open'), nonce, aad, input, out)
  }

  wipe(): void {
    this.#wiped = true
    if (this.#isWatched) forgotten.unregister(this)
    this.#contexts.wipe()
  }

  #context(direction: Direction): AeadContext {
    if (!this.#isWatched) forgotten.register(this, this.#contexts, this)
    this.#isWatched = true
    return this.#contexts.of(direction)
  }

  #check(nonce: Uint8Array, out: Uint8Array, needed: number): void {
    if (this.#wiped) throw new CryptoError('key', 'this key has been wiped')
    checkSizes(nonce, out, needed)
  }
}
