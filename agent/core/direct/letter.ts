/**
 * One message to an end with which there is no session: Noise X (rev 34 §7.4), which proves the writer's tunnel key, hides what is said
 * from everybody but the reader, and asks nothing of the reader in return. It travels as a STUN indication (RFC 8489 §2) with one
 * attribute that others may ignore, since on every port of ours STUN is told apart already (DESIGN D2).
 */
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { HandshakeState } from '#shared/noise/handshake-state.ts'
import { NoiseError } from '#shared/noise/noise-error.ts'
import { NoiseProtocol } from '#shared/noise/noise-protocol.ts'
import { BINDING_METHOD, decodeStun, encodeStun, lengthOfStun, stunAttribute, TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import { WireError } from '#shared/wire/wire-error.ts'

/** Comprehension-optional, of the range that designated experts give out (RFC 8489 §18.3). */
const LETTER_ATTRIBUTE = 0xc0ad
const prologue = new TextEncoder().encode('adit letter 1')

export interface OpenedLetter {
  /** The writer's tunnel key, 32 bytes, proven. */
  readonly writer: Uint8Array
  readonly payload: Uint8Array
}

export class Letters {
  readonly #suite: Suite
  readonly #own: KeyPair
  readonly #protocol: NoiseProtocol

  constructor(suite: Suite, own: KeyPair) {
    this.#suite = suite
    this.#own = own
    this.#protocol = new NoiseProtocol(suite, 'Noise_X_25519_ChaChaPoly_BLAKE2s', prologue)
  }

  /** A datagram that only `reader` (X25519, 32 bytes) can open; undefined where that key has a small order. */
  write(reader: Uint8Array, payload: Uint8Array): Uint8Array | undefined {
    try {
      const handshake = new HandshakeState({ protocol: this.#protocol, initiator: true, s: this.#own, rs: reader })
      const value = handshake.writeMessage(payload)
      handshake.wipe()
      const transactionId = this.#suite.random(TRANSACTION_ID_LENGTH)
      const attributes = [{ type: LETTER_ATTRIBUTE, value }]
      const message = { class: 'indication', method: BINDING_METHOD, transactionId, attributes } as const
      const out = new Uint8Array(lengthOfStun({ ...message, attributes }))
      encodeStun({ ...message, attributes }, out)
      return out
    } catch (error) {
      if (error instanceof NoiseError && error.code === 'public-key') return undefined
      throw error
    }
  }

  /** Undefined where nobody wrote it to us. Never throws on a stranger's bytes; costs two Diffie-Hellmans. */
  open(sealed: Uint8Array): OpenedLetter | undefined {
    const handshake = new HandshakeState({ protocol: this.#protocol, initiator: false, s: this.#own })
    try {
      const payload = handshake.readMessage(sealed)
      return { writer: handshake.remoteStatic!.slice(), payload }
    } catch (error) {
      if (error instanceof NoiseError) return undefined
      throw error
    } finally {
      handshake.wipe()
    }
  }
}

/** The sealed part of a STUN message that carries a letter; undefined of any other. Never throws. */
export function letterIn(datagram: Uint8Array): Uint8Array | undefined {
  try {
    const message = decodeStun(datagram)
    return message.class === 'indication' && message.method === BINDING_METHOD
      ? stunAttribute(message, LETTER_ATTRIBUTE)
      : undefined
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}
