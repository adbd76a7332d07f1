/**
 * The header before each packet of a TUN opened with IFF_VNET_HDR (linux/virtio_net.h, `struct virtio_net_hdr`; VIRTIO 1.2 §5.1.6).
 * All numbers are in machine order, little-endian on every machine that we run on.
 *
 *   0 flags (1)   1 gso_type (1)   2 hdr_len (2)   4 gso_size (2)   6 csum_start (2)   8 csum_offset (2)
 */
import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'

/** Bytes of it, so that what follows lies at an even offset where it does. */
export const virtioNetHeader = 10

/** `flags`: the checksum at csum_start + csum_offset holds the sum of the pseudo-header only; it is to be completed from csum_start on. */
export const virtioNeedsChecksum = 1

/** `gso_type`: what the packet is to be cut into, each with at most `gso_size` bytes of payload. */
export const VirtioGso = { None: 0, Tcp4: 1, Tcp6: 4, UdpL4: 5 } as const

/** Beside Tcp4 and Tcp6: CWR (RFC 3168) is set, and belongs to the first packet only. */
export const virtioGsoEcn = 0x80

/** Bytes from the transport header to its checksum, as in csum_offset. */
export const tcpChecksumOffset = 16
export const udpChecksumOffset = 6

/** The header of a whole packet, with nothing to do. `at` even. */
export function writeWholePacket({ halves }: PacketMemory, at: number): void {
  const half = at >> 1
  halves[half] = halves[half + 1] = halves[half + 2] = halves[half + 3] = halves[half + 4] = 0
}

/** The header of a super-packet: `gso` of VirtioGso, sizes in bytes from the IP header. `at` even. */
export function writeSuperPacket(
  { halves }: PacketMemory,
  at: number,
  gso: number,
  headers: number,
  size: number,
  checksumStart: number,
  checksumOffset: number,
): void {
  const half = at >> 1
  halves[half] = virtioNeedsChecksum | (gso << 8)
  halves[half + 1] = headers
  halves[half + 2] = size
  halves[half + 3] = checksumStart
  halves[half + 4] = checksumOffset
}
