import { QUEUE_BYTES, QUEUE_PACKETS } from './wireguard-constants.ts'

/** Copies of inner packets that wait for a session: bounded in number and bytes, the oldest leave first. */
export class PacketQueue {
  #packets: Uint8Array[] = []
  #bytes = 0

  get length(): number {
    return this.#packets.length
  }

  /** Keeps a copy; returns how many older packets had to leave for it. A packet above the whole bound is the one to leave. */
  push(packet: Uint8Array): number {
    if (packet.length > QUEUE_BYTES) return 1
    let left = 0
    while (this.#packets.length >= QUEUE_PACKETS || this.#bytes + packet.length > QUEUE_BYTES) {
      this.shift()
      left++
    }
    this.#packets.push(packet.slice())
    this.#bytes += packet.length
    return left
  }

  shift(): Uint8Array | undefined {
    const packet = this.#packets.shift()
    if (packet !== undefined) this.#bytes -= packet.length
    return packet
  }

  clear(): void {
    for (const packet of this.#packets) packet.fill(0)
    this.#packets = []
    this.#bytes = 0
  }
}
