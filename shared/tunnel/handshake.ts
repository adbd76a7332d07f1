/**
 * The two messages of Noise_IKpsk2 as WireGuard writes them (white paper §5.4.2, §5.4.3), on bytes alone: no timers, no peers.
 *
 *   initiation   -> e, es, s, ss, {TAI64N}
 *   response     <- e, ee, se, psk, {}
 *
 * Written over `Transcript` instead of shared/noise's HandshakeState so that ss is computed once a peer, not once a handshake.
 */
import { CryptoError, type KeyPair, type Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { decodeInitiation, encodeInitiation, INITIATION_LENGTH, type Initiation } from '#shared/wire/wireguard-initiation.ts'
import { encodeResponse, RESPONSE_LENGTH, type Response } from '#shared/wire/wireguard-response.ts'
import { Transcript } from './transcript.ts'
import { CONSTRUCTION, IDENTIFIER } from './wireguard-constants.ts'

/** No PSK is 32 zeros (§5.2). */
export const NO_PSK = new Uint8Array(32)
const NO_MAC = new Uint8Array(16)
const EMPTY = new Uint8Array(0)

/** One end's static key and what every handshake of it begins with. */
export class LocalIdentity {
  readonly suite: Suite
  readonly staticKey: KeyPair
  readonly #chainingKey: Uint8Array
  readonly #hash: Uint8Array

  constructor(suite: Suite, staticKey: KeyPair) {
    const text = new TextEncoder()
    this.suite = suite
    this.staticKey = staticKey
    this.#chainingKey = suite.hash('blake2s', text.encode(CONSTRUCTION))
    this.#hash = suite.hash('blake2s', this.#chainingKey, text.encode(IDENTIFIER))
  }

  /** The transcript of a handshake whose responder has this static key. */
  begin(responder: Uint8Array): Transcript {
    const transcript = new Transcript(this.suite, this.#chainingKey, this.#hash)
    transcript.mixHash(responder)
    return transcript
  }

  /** DH, or undefined where the public key has a small order. */
  shared(pair: KeyPair, publicKey: Uint8Array): Uint8Array | undefined {
    return sharedOrNothing(this.suite, pair, publicKey)
  }
}

/** X25519, or undefined where the public key has a small order. */
export function sharedOrNothing(suite: Suite, pair: KeyPair, publicKey: Uint8Array): Uint8Array | undefined {
  try {
    return suite.x25519.shared(pair, publicKey)
  } catch (error) {
    if (error instanceof CryptoError) return undefined
    throw error
  }
}

export interface InitiationInput {
  readonly ephemeral: KeyPair
  /** Our index, 32 bits. */
  readonly sender: number
  readonly peer: Uint8Array
  /** DH of the two static keys. */
  readonly staticShared: Uint8Array
  readonly timestamp: Uint8Array
}

/** Writes an initiation without its MACs; undefined where the peer's key has a small order. */
export function writeInitiation(local: LocalIdentity, input: InitiationInput, out: Uint8Array): Transcript | undefined {
  const { ephemeral, peer } = input
  const es = local.shared(ephemeral, peer)
  if (es === undefined) return undefined
  const transcript = local.begin(peer)
  transcript.mixKey(ephemeral.publicKey)
  transcript.mixHash(ephemeral.publicKey)
  const sealedStatic = new Uint8Array(48)
  transcript.seal(transcript.deriveKey(es), local.staticKey.publicKey, sealedStatic)
  es.fill(0)
  const sealedTimestamp = new Uint8Array(28)
  transcript.seal(transcript.deriveKey(input.staticShared), input.timestamp, sealedTimestamp)
  const message: Initiation = {
    sender: input.sender,
    ephemeral: ephemeral.publicKey,
    static: sealedStatic,
    timestamp: sealedTimestamp,
    mac1: NO_MAC,
    mac2: NO_MAC,
  }
  encodeInitiation(message, out)
  return transcript
}

/** What an initiation says before its sender has proven anything: the claimed static key. */
export interface OpenedInitiation {
  readonly transcript: Transcript
  readonly message: Initiation
  readonly publicKey: Uint8Array
}

/** First half of reading an initiation: who claims to speak. `datagram` has INITIATION_LENGTH bytes and a verified mac1. */
export function readInitiation(local: LocalIdentity, datagram: Uint8Array): OpenedInitiation | DropReason {
  if (datagram.length !== INITIATION_LENGTH) return DropReason.Malformed
  const message = decodeInitiation(datagram)
  const es = local.shared(local.staticKey, message.ephemeral)
  if (es === undefined) return DropReason.LowOrderPoint
  const transcript = local.begin(local.staticKey.publicKey)
  transcript.mixKey(message.ephemeral)
  transcript.mixHash(message.ephemeral)
  const publicKey = transcript.open(transcript.deriveKey(es), message.static)
  es.fill(0)
  return publicKey === undefined ? DropReason.Unauthentic : { transcript, message, publicKey }
}

/** Second half: the timestamp, which only the owner of the claimed key could seal; undefined where it is not authentic. */
export function readTimestamp(opened: OpenedInitiation, staticShared: Uint8Array): Uint8Array | undefined {
  return opened.transcript.open(opened.transcript.deriveKey(staticShared), opened.message.timestamp)
}

export interface ResponseInput {
  readonly ephemeral: KeyPair
  /** Our index, 32 bits. */
  readonly sender: number
  readonly psk: Uint8Array
}

/** Writes the response to an initiation, without its MACs; false where one of the peer's keys has a small order. */
export function writeResponse(local: LocalIdentity, opened: OpenedInitiation, input: ResponseInput, out: Uint8Array): boolean {
  const { transcript, message, publicKey } = opened
  const { ephemeral } = input
  transcript.mixKey(ephemeral.publicKey)
  transcript.mixHash(ephemeral.publicKey)
  const ee = local.shared(ephemeral, message.ephemeral)
  const se = local.shared(ephemeral, publicKey)
  if (ee === undefined || se === undefined) return false
  transcript.mixKey(ee)
  transcript.mixKey(se)
  ee.fill(0)
  se.fill(0)
  const empty = new Uint8Array(16)
  transcript.seal(transcript.derivePskKey(input.psk), EMPTY, empty)
  const response: Response = {
    sender: input.sender,
    receiver: message.sender,
    ephemeral: ephemeral.publicKey,
    empty,
    mac1: NO_MAC,
    mac2: NO_MAC,
  }
  encodeResponse(response, out.subarray(0, RESPONSE_LENGTH))
  return true
}

/** Reads a response to our initiation on a copy of its transcript, which is returned complete; a reason where it is not authentic. */
export function readResponse(
  local: LocalIdentity,
  begun: Transcript,
  ephemeral: KeyPair,
  psk: Uint8Array,
  response: Response,
): Transcript | DropReason {
  const ee = local.shared(ephemeral, response.ephemeral)
  const se = local.shared(local.staticKey, response.ephemeral)
  if (ee === undefined || se === undefined) return DropReason.LowOrderPoint
  const transcript = begun.copy()
  transcript.mixKey(response.ephemeral)
  transcript.mixHash(response.ephemeral)
  transcript.mixKey(ee)
  transcript.mixKey(se)
  ee.fill(0)
  se.fill(0)
  if (transcript.open(transcript.derivePskKey(psk), response.empty) !== undefined) return transcript
  transcript.wipe()
  return DropReason.Unauthentic
}
