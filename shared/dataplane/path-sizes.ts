import { type InnerPacket, PacketKind } from '#shared/dataplane/inner-packet.ts'
import type { Association } from '#shared/tunnel/association.ts'

/** Below this no packet is cut for a peer's sake. Bytes. */
const least = 400
/** From here on nothing is small: every path has room for it, or IPv6 fails on it (RFC 8200 §5). */
const usual = 1280

const icmpUnreachable = 3
const fragmentationNeeded = 4
const icmpv6PacketTooBig = 2

/**
 * How large inner packets to a peer may be, where that is less than usual. Peers tell it themselves, by a "packet too big" from their own
 * address to ours (RFC 8201): they measure their path, and who relays to them should not learn by losses what they know.
 */
export class PathSizes {
  /** Told where what is known of an association has changed; Infinity: nothing smaller than usual. */
  changed: ((association: Association, bytes: number) => void) | undefined
  readonly #small = new Map<Association, number>()

  /** Takes a word of `from` about itself, which came through the tunnel for this host; returns whether it was one. */
  hear(packet: InnerPacket, from: Association): boolean {
    if (packet.kind !== PacketKind.IcmpError) return false
    const { bytes, transportAt: at, version } = packet
    const isTooBig =
      version === 4 ? bytes[at] === icmpUnreachable && bytes[at + 1] === fragmentationNeeded : bytes[at] === icmpv6PacketTooBig
    if (!isTooBig) return false
    const mtu =
      (version === 4 ? 0 : bytes[at + 4]! * 0x100_0000 + (bytes[at + 5]! << 16)) + ((bytes[at + 6]! << 8) | bytes[at + 7]!)
    if (mtu >= usual) this.#small.delete(from)
    else this.#small.set(from, Math.max(least, mtu))
    this.changed?.(from, this.of(from))
    return true
  }

  /** Infinity: nothing smaller than usual is known. */
  of(association: Association | undefined): number {
    if (this.#small.size === 0 || association === undefined) return Number.POSITIVE_INFINITY
    return this.#small.get(association) ?? Number.POSITIVE_INFINITY
  }

  forget(association: Association): void {
    if (this.#small.delete(association)) this.changed?.(association, Number.POSITIVE_INFINITY)
  }
}
