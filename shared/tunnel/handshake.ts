/**
 * The two messages of Noise_IKpsk2 as WireGuard frames them (white paper §5.4.2, §5.4.3), on bytes alone: no timers, no peers. The
 * handshake itself is shared/noise's; here it gets its datagrams, and its refusals become drop reasons.
 *
 *   initiation   -> e, es, s, ss, {TAI64N}
 *   response     <- e, ee, se, psk, {}
 */
import { concat } from '#shared/bytes/concat.ts'
import { CryptoError, type KeyPair, type Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { HandshakeState } from '#shared/noise/handshake-state.ts'
import { NoiseError } from '#shared/noise/noise-error.ts'
import { NoiseProtocol } from '#shared/noise/noise-protocol.ts'
import { decodeInitiation, encodeInitiation, INITIATION, INITIATION_LENGTH } from '#shared/wire/wireguard-initiation.ts'
import { encodeResponse, type Response } from '#shared/wire/wireguard-response.ts'
import { CONSTRUCTION, IDENTIFIER } from './wireguard-constants.ts'

/** No PSK is 32 zeros (§5.2). */
export const NO_PSK = new Uint8Array(32)
const NO_MAC = new Uint8Array(16)
const EMPTY = new Uint8Array(0)
/** Where a Noise message is cut into WireGuard's fields, bytes: after e, and after s, of 48 bytes when sealed. */
const AFTER_E = 32
const AFTER_S = AFTER_E + 48

/** One end's static key and what every handshake of it begins with. */
export class LocalIdentity {
  readonly suite: Suite
  readonly staticKey: KeyPair
  readonly protocol: NoiseProtocol

  constructor(suite: Suite, staticKey: KeyPair) {
    this.suite = suite
    this.staticKey = staticKey
    this.protocol = new NoiseProtocol(suite, CONSTRUCTION, new TextEncoder().encode(IDENTIFIER))
  }

  /** DH of the static keys, or undefined where the peer's has a small order. */
  staticShared(peer: Uint8Array): Uint8Array | undefined {
    try {
      return this.suite.x25519.shared(this.staticKey, peer)
    } catch (error) {
      if (error instanceof CryptoError) return undefined
      throw error
    }
  }
}

export interface InitiationInput {
  /** Our index, 32 bits. */
  readonly sender: number
  readonly peer: Uint8Array
  /** DH of the two static keys. */
  readonly staticShared: Uint8Array
  readonly timestamp: Uint8Array
}

/** Writes an initiation without its MACs; undefined where the peer's key has a small order. */
export function writeInitiation(local: LocalIdentity, input: InitiationInput, out: Uint8Array): HandshakeState | undefined {
  const { sender, peer, staticShared, timestamp } = input
  const { protocol, staticKey } = local
  const handshake = new HandshakeState({
    protocol,
    initiator: true,
    s: staticKey,
    rs: peer,
    staticStatic: () => staticShared,
  })
  const message = unlessRefused(handshake, () => handshake.writeMessage(timestamp))
  if (typeof message === 'number') return undefined
  const ephemeral = message.subarray(0, AFTER_E)
  const [sealedStatic, sealedTimestamp] = [message.subarray(AFTER_E, AFTER_S), message.subarray(AFTER_S)]
  encodeInitiation({ sender, ephemeral, static: sealedStatic, timestamp: sealedTimestamp, mac1: NO_MAC, mac2: NO_MAC }, out)
  return handshake
}

/** Whoever an initiation claims to come from. */
export interface Claimant {
  readonly keys: {
    /** DH of the static keys, or undefined where the claimed one has a small order. */
    readonly staticShared: Uint8Array | undefined
  }
}

/** An authentic initiation: only the owner of the claimed key could seal its timestamp. */
export interface OpenedInitiation<C extends Claimant = Claimant> {
  readonly handshake: HandshakeState
  readonly publicKey: Uint8Array
  readonly claimant: C
  /** The initiator's index, 32 bits. */
  readonly sender: number
  readonly timestamp: Uint8Array
}

/**
 * Reads an initiation of INITIATION_LENGTH bytes with a verified mac1. `introduce` is asked in its midst whose the claimed key is, of
 * which nothing has been proven yet; its refusal ends the reading before any arithmetic on that key.
 */
export function readInitiation<C extends Claimant>(
  local: LocalIdentity,
  datagram: Uint8Array,
  introduce: (publicKey: Uint8Array) => C | DropReason,
): OpenedInitiation<C> | DropReason {
  if (datagram.length !== INITIATION_LENGTH) return DropReason.Malformed
  const { sender } = decodeInitiation(datagram)
  const { protocol, staticKey } = local
  let claimant: C | undefined
  const handshake = new HandshakeState({
    protocol,
    initiator: false,
    s: staticKey,
    staticStatic(publicKey) {
      const introduced = introduce(publicKey)
      if (typeof introduced === 'number') throw refusal(introduced)
      const { staticShared } = introduced.keys
      if (staticShared === undefined) throw refusal(DropReason.LowOrderPoint)
      claimant = introduced
      return staticShared
    },
  })
  const message = datagram.subarray(INITIATION.ephemeral, INITIATION.mac1)
  const timestamp = unlessRefused(handshake, () => handshake.readMessage(message))
  if (typeof timestamp === 'number') return timestamp
  return { handshake, publicKey: handshake.remoteStatic!, claimant: claimant!, sender, timestamp }
}

export interface ResponseInput {
  /** Our index, 32 bits. */
  readonly sender: number
  readonly psk: Uint8Array
}

/** Writes the response to an initiation, without its MACs; false where one of the peer's keys has a small order. */
export function writeResponse(opened: OpenedInitiation, input: ResponseInput, out: Uint8Array): boolean {
  const { handshake, sender: receiver } = opened
  handshake.setPsk(0, input.psk)
  const message = unlessRefused(handshake, () => handshake.writeMessage(EMPTY))
  if (typeof message === 'number') return false
  const [ephemeral, empty] = [message.subarray(0, AFTER_E), message.subarray(AFTER_E)]
  encodeResponse({ sender: input.sender, receiver, ephemeral, empty, mac1: NO_MAC, mac2: NO_MAC }, out)
  return true
}

/** Reads a response to the initiation of `handshake`: 0, or why not; then the right response can still come. */
export function readResponse(handshake: HandshakeState, psk: Uint8Array, response: Response): DropReason | 0 {
  handshake.setPsk(0, psk)
  try {
    handshake.readMessage(concat(response.ephemeral, response.empty))
    return 0
  } catch (error) {
    return reasonOf(error)
  }
}

/** The session's keys, 32 bytes each, which the caller wipes: what the initiator sends with, then the responder. */
export function splitKeys(handshake: HandshakeState): [initiatorSends: Uint8Array, responderSends: Uint8Array] {
  const [first, second] = handshake.split()
  const keys: [Uint8Array, Uint8Array] = [first.exportKey(), second.exportKey()]
  first.wipe()
  second.wipe()
  return keys
}

/** Ends a step of the handshake from within, because of what the claimed key is. */
class Refusal extends Error {
  readonly reason: DropReason
  constructor(reason: DropReason) {
    super()
    this.reason = reason
  }
}

/** One for each reason, thrown again and again: what strangers do is worth no stack trace. */
const refusals = new Map<DropReason, Refusal>()

function refusal(reason: DropReason): Refusal {
  const made = refusals.get(reason) ?? new Refusal(reason)
  refusals.set(reason, made)
  return made
}

/** The message, or why there is none; then the handshake is over and wiped. */
function unlessRefused(handshake: HandshakeState, step: () => Uint8Array): Uint8Array | DropReason {
  try {
    return step()
  } catch (error) {
    handshake.wipe()
    return reasonOf(error)
  }
}

function reasonOf(error: unknown): DropReason {
  if (error instanceof Refusal) return error.reason
  if (error instanceof NoiseError && error.code === 'decrypt') return DropReason.Unauthentic
  if (error instanceof NoiseError && error.code === 'public-key') return DropReason.LowOrderPoint
  throw error
}
