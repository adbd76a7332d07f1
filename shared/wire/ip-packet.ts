import { DropReason } from '#shared/drop-reason.ts'
import { decodeIpv4 } from './ipv4.ts'
import { decodeIpv6 } from './ipv6.ts'

/** IP protocol numbers that the stack speaks. */
export const Protocol = { Icmp: 1, Tcp: 6, Udp: 17, Icmpv6: 58 } as const

/**
 * Where the parts of one IP packet lie: a view of offsets over bytes that stay where they are. One object serves every packet of a
 * stack. After a decode that returned 0, `0 <= source < destination < payload <= end <= length` holds.
 */
export class IpPacket {
  version: 4 | 6 = 6
  /** Upper-layer protocol, behind all extension headers. */
  protocol = 0
  /** 0..255. */
  hopLimit = 0
  /** Offsets of the addresses, and their size. */
  source = 0
  destination = 0
  addressLength = 16
  /** Offsets of the first payload byte and past the last. */
  payload = 0
  end = 0
  /** Where in the original payload this fragment lies, bytes; with `moreFragments` false and 0 the packet is whole. */
  fragmentOffset = 0
  moreFragments = false
  /** 16 bits (IPv4) or 32 (IPv6). */
  fragmentId = 0

  get isFragment(): boolean {
    return this.moreFragments || this.fragmentOffset !== 0
  }
}

/** Finds the parts of the packet in `view[0..length]`. Returns 0 or a negative DropReason; never throws. */
export function decodeIpPacket(view: DataView, length: number, out: IpPacket): number {
  if (length < 20) return DropReason.InnerMalformed
  const version = view.getUint8(0) >> 4
  if (version === 6) return decodeIpv6(view, length, out)
  if (version === 4) return decodeIpv4(view, length, out)
  return DropReason.InnerMalformed
}
