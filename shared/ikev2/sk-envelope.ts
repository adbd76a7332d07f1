import type { Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { IkeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import type { IkeKeys } from '#shared/ikev2/key-material.ts'
import { type SkCipher, skCipher } from '#shared/ikev2/sk-cipher.ts'
import { encodeIkeHeader, IKE_HEADER_LENGTH } from '#shared/wire/ike-header.ts'
import type { IkeHeaderFields } from '#shared/wire/ike-message.ts'
import { PayloadType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { SKF_HEADER_LENGTH } from '#shared/wire/ike-payload/skf.ts'
import { lengthOfPayloads, PAYLOAD_HEADER_LENGTH, writePayloads } from '#shared/wire/ike-payloads.ts'

/** What an encrypted payload holds: payloads, or a piece of them, in fresh memory. */
export interface Opened {
  /** PayloadType of the first payload; 0 where there is none, and in every fragment but the first. */
  readonly first: number
  readonly bytes: Uint8Array
}

/**
 * Everything that one IKE SA says after IKE_SA_INIT goes through here: payloads in an encrypted payload (RFC 7296 §3.14), cut in
 * fragments where the datagram would be too long (RFC 7383).
 */
export class SkEnvelope {
  readonly #out: SkCipher
  readonly #in: SkCipher

  /** `isInitiator`: of this IKE SA, which decides whose keys are whose. The keys stay their owner's. */
  constructor(suite: Suite, algorithms: IkeAlgorithms, keys: IkeKeys, isInitiator: boolean) {
    const initiator = skCipher(suite, algorithms, keys.ei, keys.ai)
    const responder = skCipher(suite, algorithms, keys.er, keys.ar)
    this.#out = isInitiator ? initiator : responder
    this.#in = isInitiator ? responder : initiator
  }

  /**
   * Datagrams, without non-ESP marker, in fresh memory. `maxDatagram`: bytes of the longest one where the peer takes fragments;
   * undefined: one datagram, however long.
   */
  seal(header: IkeHeaderFields, payloads: readonly IkePayload[], maxDatagram?: number): Uint8Array[] {
    const length = lengthOfPayloads(payloads)
    const whole = this.#lengthOf(PAYLOAD_HEADER_LENGTH, length)
    if (maxDatagram !== undefined && whole > maxDatagram) return this.#sealFragments(header, payloads, length, maxDatagram)
    const message = new Uint8Array(whole)
    const body = IKE_HEADER_LENGTH + PAYLOAD_HEADER_LENGTH
    const first = writePayloads(payloads, message, body + this.#out.ivBytes)
    this.#finish(message, header, PayloadType.Sk, first, body, length)
    return [message]
  }

  /**
   * The inside of the message's encrypted payload or fragment. `payloads`: those of the message as it came, the encrypted one last.
   * `Unauthentic` where it was not sealed by the peer, `Malformed` where there is nothing to open.
   */
  open(datagram: Uint8Array, payloads: readonly IkePayload[]): Opened | DropReason {
    const encrypted = payloads.at(-1)
    if (encrypted?.kind !== 'sk' && encrypted?.kind !== 'skf') return DropReason.Malformed
    const plain = this.#in.open(datagram, datagram.length - encrypted.body.length)
    if (plain === undefined) return DropReason.Unauthentic
    const padding = plain.at(-1)
    if (padding === undefined || padding > plain.length - 1) return DropReason.Malformed
    return { first: encrypted.first, bytes: plain.subarray(0, plain.length - 1 - padding) }
  }

  wipe(): void {
    this.#out.wipe()
    this.#in.wipe()
  }

  /** As few fragments as the size allows (RFC 7383 §2.5.1); each is sealed for itself. */
  #sealFragments(header: IkeHeaderFields, payloads: readonly IkePayload[], length: number, maxDatagram: number): Uint8Array[] {
    const content = new Uint8Array(length)
    const first = writePayloads(payloads, content, 0)
    const { ivBytes, icvBytes, alignBytes } = this.#out
    const overhead = PAYLOAD_HEADER_LENGTH + SKF_HEADER_LENGTH
    const room = maxDatagram - IKE_HEADER_LENGTH - overhead - ivBytes - icvBytes
    const share = room - (room % alignBytes) - 1
    if (share < 1) throw new RangeError(`no fragment fits into ${maxDatagram} bytes`)
    const total = Math.ceil(length / share)
    const body = IKE_HEADER_LENGTH + overhead
    return Array.from({ length: total }, (_, index) => {
      const piece = content.subarray(index * share, (index + 1) * share)
      const message = new Uint8Array(this.#lengthOf(overhead, piece.length))
      const view = new DataView(message.buffer)
      view.setUint16(body - SKF_HEADER_LENGTH, index + 1)
      view.setUint16(body - SKF_HEADER_LENGTH + 2, total)
      message.set(piece, body + ivBytes)
      this.#finish(message, header, PayloadType.Skf, index === 0 ? first : PayloadType.None, body, piece.length)
      return message
    })
  }

  /** Of a message whose encrypted payload has `overhead` bytes before the IV and `content` bytes inside. */
  #lengthOf(overhead: number, content: number): number {
    const { ivBytes, icvBytes } = this.#out
    return IKE_HEADER_LENGTH + overhead + ivBytes + content + this.#paddingOf(content) + 1 + icvBytes
  }

  /** Bytes of padding before its own length, which makes the whole a multiple of the cipher's block. */
  #paddingOf(content: number): number {
    const { alignBytes } = this.#out
    return alignBytes - 1 - (content % alignBytes)
  }

  /** Writes the headers and the pad length around what is there, then seals. `body`: where the IV begins. */
  #finish(message: Uint8Array, header: IkeHeaderFields, type: number, first: number, body: number, content: number): void {
    encodeIkeHeader({ ...header, firstPayload: type, length: message.length }, message)
    const view = new DataView(message.buffer)
    view.setUint8(IKE_HEADER_LENGTH, first)
    view.setUint16(IKE_HEADER_LENGTH + 2, message.length - IKE_HEADER_LENGTH)
    const padding = this.#paddingOf(content)
    message[body + this.#out.ivBytes + content + padding] = padding
    this.#out.seal(message, body)
  }
}
