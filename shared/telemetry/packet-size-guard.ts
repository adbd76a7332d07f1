import type { Duplex } from 'node:stream'

/** Longest MQTT packet before CONNECT has been accepted, and after. Bytes of Remaining Length. */
export const packetLimits = { beforeConnect: 4 * 1024, afterConnect: 128 * 1024 } as const

/** MQTT 3.1.1 §2.2.3: Remaining Length takes at most four bytes. */
const lengthBytesMax = 4

/**
 * Follows the framing of an MQTT byte stream, without keeping any of it, and judges each packet by the length that its fixed header
 * announces: aedes has no limit of its own and would gather up to 256 MB. MQTT 3.1.1 §2.2:
 *
 *   | type, flags | Remaining Length, 7 bits a byte, low first, top bit: more | Remaining Length bytes … |
 */
export class PacketSizeGuard {
  #limit: number = packetLimits.beforeConnect
  /** Bytes of the present packet's body that are still to come. */
  #body = 0
  /** Bytes of Remaining Length read so far; -1: the type byte comes next. */
  #lengthBytes = -1
  #length = 0

  /** CONNECT has been accepted. */
  raise(): void {
    this.#limit = packetLimits.afterConnect
  }

  /** False once a packet is longer than permitted, or its length cannot be. */
  accepts(chunk: Uint8Array): boolean {
    let at = 0
    while (at < chunk.length) {
      if (this.#body > 0) {
        const skipped = Math.min(this.#body, chunk.length - at)
        this.#body -= skipped
        at += skipped
        continue
      }
      const byte = chunk[at++]!
      if (this.#lengthBytes < 0) {
        this.#lengthBytes = 0
        this.#length = 0
        continue
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes
      this.#lengthBytes++
      if (this.#length > this.#limit) return false
      if ((byte & 0x80) === 0) {
        this.#body = this.#length
        this.#lengthBytes = -1
      } else if (this.#lengthBytes === lengthBytesMax) return false
    }
    return true
  }
}

/**
 * Puts a guard before whoever reads `stream`: chunks pass through `read` unchanged until one announces too long a packet; then the
 * stream ends with an error and the chunk is never seen. (Another stream in between would cost each idle device some 5 KB.)
 */
export function guardPacketSize(stream: Duplex, refused: () => void): PacketSizeGuard {
  const guard = new PacketSizeGuard()
  const read = stream.read.bind(stream)
  stream.read = (size?: number): unknown => {
    const chunk: Buffer | null = read(size)
    if (chunk === null || guard.accepts(chunk)) return chunk
    refused()
    stream.destroy(new Error('an MQTT packet is longer than permitted'))
    return null
  }
  return guard
}
