import { concat } from '#shared/bytes/concat.ts'
import { CryptoError, type KeyPair, wipe } from '#shared/crypto/suite.ts'
import type { CipherState } from './cipher-state.ts'
import type { CryptoFunctions } from './crypto-functions.ts'
import { NoiseError } from './noise-error.ts'
import type { NoiseProtocol } from './noise-protocol.ts'
import { type Arrow, type HandshakePattern, isOneWay, type Token } from './patterns.ts'
import type { SymmetricState } from './symmetric-state.ts'

/** Of any Noise message, bytes (Noise rev 34 §3). */
export const maxMessageLength = 65535

const tagLength = 16
const pskLength = 32
const NO_KEY = new Uint8Array(0)

export interface HandshakeOptions {
  /** What both sides agreed on: protocol name and prologue. */
  readonly protocol: NoiseProtocol
  /** Alice: the left side of the pattern, the writer of every `->`. (In a fallback pattern Bob writes first.) */
  readonly initiator: boolean
  /** Own static pair. */
  readonly s?: KeyPair
  /** Own ephemeral pair, where the pattern's pre-messages name it (fallback). */
  readonly e?: KeyPair
  /** The other side's static public key, where the pattern's pre-messages name it. */
  readonly rs?: Uint8Array
  /** The other side's ephemeral public key, where the pattern's pre-messages name it (fallback). */
  readonly re?: Uint8Array
  /** 32-byte keys in the order of the pattern's psk tokens. A later one may come by `setPsk`, before its message. */
  readonly psks?: readonly Uint8Array[]
  /** Makes ephemerals; the suite's own unless vectors fix them. */
  readonly generateEphemeral?: () => KeyPair
  /**
   * Asked at the `ss` token, once the other side's static key is known: the secret DH(s, rs) if the caller has it from before (it never
   * changes between two parties, and is a quarter of a responder's work). May throw to end the step: the message is then refused
   * before any arithmetic on the stranger's key.
   */
  readonly staticStatic?: (rs: Uint8Array) => Uint8Array | undefined
}

/**
 * HandshakeState (Noise rev 34 §5.3) for every pattern of `patterns.ts`. The caller alternates `writeMessage` and `readMessage` until
 * `complete`, then calls `split`. A call that throws leaves the state as it was: a forged message cannot half-advance a handshake.
 */
export class HandshakeState {
  readonly #options: HandshakeOptions
  readonly #symmetric: SymmetricState
  #e: KeyPair | undefined
  #rs: Uint8Array | undefined
  #re: Uint8Array | undefined
  readonly #psks: (Uint8Array | undefined)[] = []
  /** The number of psk tokens handled. */
  #pskAt = 0
  /** Index of the next message pattern. */
  #at = 0

  /** Throws NoiseError `missing` where a pre-message key is not given. */
  constructor(options: HandshakeOptions) {
    this.#options = options
    this.#symmetric = options.protocol.begin()
    this.#e = options.e
    this.#rs = options.rs?.slice()
    this.#re = options.re?.slice()
    if (options.psks !== undefined) for (const [place, psk] of options.psks.entries()) this.setPsk(place, psk)
    for (const { arrow, tokens } of this.pattern.preMessages) for (const token of tokens) this.#preMessage(arrow, token)
  }

  get pattern(): HandshakePattern {
    return this.#options.protocol.pattern
  }

  get initiator(): boolean {
    return this.#options.initiator
  }

  /** All message patterns are done. */
  get complete(): boolean {
    return this.#at === this.pattern.messages.length
  }

  /** True where `writeMessage` is next, false where `readMessage` is or the handshake is complete. */
  get myTurn(): boolean {
    return this.pattern.messages[this.#at]?.arrow === this.#ownArrow
  }

  /** The other side's static public key: given, or learnt and authenticated by the messages so far. */
  get remoteStatic(): Uint8Array | undefined {
    return this.#rs
  }

  get remoteEphemeral(): Uint8Array | undefined {
    return this.#re
  }

  get localEphemeral(): Uint8Array | undefined {
    return this.#e?.publicKey
  }

  /** The handshake hash: after completion it names this session and no other (§11.2). */
  getHandshakeHash(): Uint8Array {
    return this.#symmetric.getHandshakeHash()
  }

  /** Sets the 32-byte key of the `place`th psk token (from 0), before its message is handled: a responder learns first who asks. */
  setPsk(place: number, psk: Uint8Array): void {
    if (psk.length !== pskLength) throw new NoiseError('missing', `a PSK has 32 bytes, not ${psk.length}`)
    if (place >= this.#options.protocol.pskCount)
      throw new NoiseError('missing', `${this.pattern.name} has no psk token ${place}`)
    this.#psks[place]?.fill(0)
    this.#psks[place] = psk.slice()
  }

  /** The next message, fresh. Throws NoiseError `turn`, `missing`, `public-key` or `long`. */
  writeMessage(payload: Uint8Array): Uint8Array {
    if (!this.myTurn) throw new NoiseError('turn', this.complete ? 'the handshake is complete' : 'the other side writes next')
    return this.#step(() => {
      const parts: Uint8Array[] = []
      for (const token of this.#tokens()) {
        if (token === 'e') parts.push(this.#writeE())
        else if (token === 's')
          parts.push(this.#symmetric.encryptAndHash(this.#need(this.#options.s, 'the own static key').publicKey))
        else this.#mix(token)
      }
      parts.push(this.#symmetric.encryptAndHash(payload))
      const message = concat(...parts)
      if (message.length > maxMessageLength) throw new NoiseError('long', 'a Noise message has at most 65535 bytes')
      return message
    })
  }

  /** The payload of the next message, fresh. Throws NoiseError `turn`, `missing`, `short`, `long`, `decrypt` or `public-key`. */
  readMessage(message: Uint8Array): Uint8Array {
    if (this.myTurn || this.complete)
      throw new NoiseError('turn', this.complete ? 'the handshake is complete' : 'this side writes next')
    if (message.length > maxMessageLength) throw new NoiseError('long', 'a Noise message has at most 65535 bytes')
    return this.#step(() => {
      let rest = message
      for (const token of this.#tokens()) {
        if (token === 'e' || token === 's') {
          const sealed = token === 's' && this.#symmetric.hasKey()
          const length = this.#functions.dh.publicKeyLength + (sealed ? tagLength : 0)
          if (rest.length < length) throw new NoiseError('short', 'the message ends inside a key')
          if (token === 'e') this.#readE(rest.subarray(0, length))
          else this.#rs = this.#symmetric.decryptAndHash(rest.subarray(0, length))
          rest = rest.subarray(length)
        } else this.#mix(token)
      }
      return this.#symmetric.decryptAndHash(rest)
    })
  }

  /**
   * After completion: the ciphers of Alice's and of Bob's messages. The ephemeral, the PSKs and the chaining key are wiped; of a one-way
   * pattern only the first cipher may be used. Callable once.
   */
  split(): [CipherState, CipherState] {
    if (!this.complete) throw new NoiseError('turn', 'the handshake is not complete')
    const ciphers = this.#symmetric.split()
    if (isOneWay(this.pattern)) ciphers[1].wipe()
    this.wipe()
    return ciphers
  }

  /** Forgets every secret of this handshake; only `getHandshakeHash` and the public keys stay. */
  wipe(): void {
    this.#at = this.pattern.messages.length
    this.#symmetric.wipe()
    for (const psk of this.#psks) psk?.fill(0)
    if (this.#e === undefined) return
    wipe(this.#e.privateKey)
    this.#e = { publicKey: this.#e.publicKey, privateKey: NO_KEY }
  }

  get #functions(): CryptoFunctions {
    return this.#options.protocol.functions
  }

  get #ownArrow(): Arrow {
    return this.initiator ? '->' : '<-'
  }

  #tokens(): readonly Token[] {
    return this.pattern.messages[this.#at]?.tokens ?? []
  }

  /** Runs one message pattern; on any throw everything is as before. */
  #step(run: () => Uint8Array): Uint8Array {
    const before = { e: this.#e, re: this.#re, rs: this.#rs, pskAt: this.#pskAt }
    this.#symmetric.begin()
    try {
      const result = run()
      this.#symmetric.commit()
      this.#at++
      return result
    } catch (error) {
      this.#symmetric.rollback()
      if (this.#e !== before.e) wipe(this.#e?.privateKey)
      this.#e = before.e
      this.#re = before.re
      this.#rs = before.rs
      this.#pskAt = before.pskAt
      if (error instanceof CryptoError) throw new NoiseError('public-key', error.message)
      throw error
    }
  }

  #writeE(): Uint8Array {
    this.#e = this.#options.generateEphemeral?.() ?? this.#functions.dh.generate()
    this.#mixEphemeral(this.#e.publicKey)
    return this.#e.publicKey
  }

  #readE(publicKey: Uint8Array): void {
    this.#re = publicKey.slice()
    this.#mixEphemeral(this.#re)
  }

  /** §9.2: where a PSK takes part, ephemerals go into the key as well as into the hash. */
  #mixEphemeral(publicKey: Uint8Array): void {
    this.#symmetric.mixHash(publicKey)
    if (this.#options.protocol.pskCount > 0) this.#symmetric.mixKey(publicKey)
  }

  #mix(token: Exclude<Token, 'e' | 's'>): void {
    if (token === 'psk') {
      this.#symmetric.mixKeyAndHash(this.#need(this.#psks[this.#pskAt], 'a PSK'))
      this.#pskAt++
      return
    }
    // The first letter names Alice's key, the second Bob's.
    const own =
      (this.initiator ? token[0] : token[1]) === 'e'
        ? this.#need(this.#e, 'the own ephemeral')
        : this.#need(this.#options.s, 'the own static key')
    const remote =
      (this.initiator ? token[1] : token[0]) === 'e'
        ? this.#need(this.#re, 'the remote ephemeral')
        : this.#need(this.#rs, 'the remote static key')
    const known = token === 'ss' ? this.#options.staticStatic?.(remote) : undefined
    const secret = known ?? this.#functions.dh.shared(own, remote)
    this.#symmetric.mixKey(secret)
    if (known === undefined) secret.fill(0)
  }

  #preMessage(arrow: Arrow, token: Token): void {
    const mine = arrow === this.#ownArrow
    const key =
      token === 'e'
        ? this.#need(mine ? this.#e?.publicKey : this.#re, 'an ephemeral of the pre-messages')
        : this.#need(mine ? this.#options.s?.publicKey : this.#rs, 'a static key of the pre-messages')
    if (token === 'e') this.#mixEphemeral(key)
    else this.#symmetric.mixHash(key)
  }

  #need<T>(value: T | undefined, what: string): T {
    if (value === undefined) throw new NoiseError('missing', `${this.pattern.name} needs ${what}`)
    return value
  }
}
