/**
 * WebSocket frames (RFC 6455 §5.2) as a client needs them: what it sends is masked, what it gets is not; no extension.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-------+-+-------------+-------------------------------+
 *   |F|R|R|R| opcode|M| Payload len |  Extended payload length      |
 *   |I|S|S|S|  (4)  |A|     (7)     |  (16 where len is 126,        |
 *   |N|V|V|V|       |S|             |   64 where it is 127)         |
 *   | |1|2|3|       |K|             |                               |
 *   +-+-+-+-+-------+-+-------------+-------------------------------+
 *   | Masking-key (32, where MASK is 1)     | Payload …
 */
import { WireError } from '#shared/bytes/wire-error.ts'

export const Opcode = { Continuation: 0, Text: 1, Binary: 2, Close: 8, Ping: 9, Pong: 10 } as const

const FIN = 0x80
const RESERVED = 0x70
const OPCODE = 0x0f
const MASK = 0x80
const LENGTH = 0x7f
const MASK_SIZE = 4
/** Longest payload of a control frame, bytes (RFC 6455 §5.5). */
const CONTROL_LIMIT = 125

/** One whole frame of a client. `mask`: four random bytes. Throws WireError `length-invalid` from 2^16 bytes on. */
export function encodeClientFrame(opcode: number, payload: Uint8Array, mask: Uint8Array): Uint8Array {
  const { length } = payload
  if (length > 0xffff) throw new WireError('length-invalid', `${length} bytes in one frame`)
  const head = length < 126 ? 2 : 4
  const frame = new Uint8Array(head + MASK_SIZE + length)
  frame[0] = FIN | opcode
  frame[1] = MASK | (length < 126 ? length : 126)
  if (head === 4) {
    frame[2] = length >> 8
    frame[3] = length & 0xff
  }
  frame.set(mask, head)
  for (let i = 0; i < length; i++) frame[head + MASK_SIZE + i] = payload[i]! ^ mask[i & 3]!
  return frame
}

/** A whole message, or a control frame. The payload belongs to the callee. */
export type ServerMessage = (opcode: number, payload: Uint8Array) => void

/** Puts a server's frames together again. After an error it must not be used again. */
export class ServerFrameReader {
  readonly #limit: number
  #kept: Uint8Array = new Uint8Array(0)
  /** Of the message that is under way in fragments. */
  #opcode: number | undefined
  #parts: Uint8Array[] = []
  #length = 0

  /** `limit`: longest message taken, bytes. */
  constructor({ limit }: { limit: number }) {
    this.#limit = limit
  }

  /** Throws WireError (`reserved-bits`, `masked`, `opcode-unknown`, `length-invalid`, `fragment-invalid`): the connection is to be closed then. */
  push(chunk: Uint8Array, onMessage: ServerMessage): void {
    let bytes = chunk
    if (this.#kept.length > 0) {
      bytes = new Uint8Array(this.#kept.length + chunk.length)
      bytes.set(this.#kept)
      bytes.set(chunk, this.#kept.length)
    }
    let at = 0
    for (let taken = this.#frame(bytes, at, onMessage); taken > 0; taken = this.#frame(bytes, at, onMessage)) at += taken
    this.#kept = bytes.slice(at)
  }

  /** Bytes of the frame at `at`; 0 while it is not all there. */
  #frame(bytes: Uint8Array, at: number, onMessage: ServerMessage): number {
    if (bytes.length - at < 2) return 0
    const first = bytes[at]!
    const second = bytes[at + 1]!
    if (first & RESERVED) throw new WireError('reserved-bits', 'a reserved bit is set, and no extension was agreed')
    if (second & MASK) throw new WireError('masked', 'a server masks nothing')
    const short = second & LENGTH
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    if (bytes.length - at < head) return 0
    const length = lengthOf(bytes, at, short)
    const opcode = first & OPCODE
    const isLast = (first & FIN) !== 0
    if (length > this.#limit - this.#length) throw new WireError('length-invalid', `a message longer than ${this.#limit} bytes`)
    if (opcode >= Opcode.Close && (short > CONTROL_LIMIT || !isLast))
      throw new WireError('fragment-invalid', 'a control frame is short and whole')
    if (bytes.length - at < head + length) return 0
    this.#take(opcode, isLast, bytes.slice(at + head, at + head + length), onMessage)
    return head + length
  }

  #take(opcode: number, isLast: boolean, payload: Uint8Array, onMessage: ServerMessage): void {
    if (opcode === Opcode.Close || opcode === Opcode.Ping || opcode === Opcode.Pong) {
      onMessage(opcode, payload)
      return
    }
    if (opcode > Opcode.Binary) throw new WireError('opcode-unknown', `opcode ${opcode}`)
    if ((opcode === Opcode.Continuation) === (this.#opcode === undefined))
      throw new WireError('fragment-invalid', 'fragments of two messages are mixed')
    if (isLast && this.#opcode === undefined) {
      onMessage(opcode, payload)
      return
    }
    this.#opcode ??= opcode
    this.#parts.push(payload)
    this.#length += payload.length
    if (!isLast) return
    const message = new Uint8Array(this.#length)
    let at = 0
    for (const part of this.#parts) {
      message.set(part, at)
      at += part.length
    }
    const kind = this.#opcode
    this.#opcode = undefined
    this.#parts = []
    this.#length = 0
    onMessage(kind, message)
  }
}

function lengthOf(bytes: Uint8Array, at: number, short: number): number {
  if (short < 126) return short
  const view = new DataView(bytes.buffer, bytes.byteOffset + at + 2)
  if (short === 126) return view.getUint16(0)
  // A limit in 32 bits is all that is ever compared with.
  return view.getUint32(0) > 0 ? Number.POSITIVE_INFINITY : view.getUint32(4)
}
