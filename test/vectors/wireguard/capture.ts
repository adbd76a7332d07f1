import { classify } from '#shared/wire/demux.ts'
import type { Verdicts } from '../verdict.ts'
import { judgeLayout } from './dissection.ts'

/** Classic pcap with microseconds or nanoseconds, of either byte order. */
const magics: Readonly<Record<number, boolean>> = { 2712847316: false, 2712812621: false, 3569595041: true, 1295823521: true }
/** Bytes before the IP header, by link type: null, Ethernet, raw IP, Linux cooked, BSD loop, Linux cooked v2. */
const linkHeaders: Readonly<Record<number, number>> = { 0: 4, 1: 14, 101: 0, 12: 0, 113: 16, 108: 4, 276: 20 }

export const recognises = (_path: string, contents: unknown): boolean =>
  contents instanceof Uint8Array && contents.length >= 24 && magicOf(contents) in magics

/** Each WireGuard datagram of a capture is taken apart and put together again; other frames are skipped. */
export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  for (const [index, datagram] of datagramsOf(contents as Uint8Array).entries()) {
    if (datagram === undefined || !classify(datagram).startsWith('wireguard-')) verdicts.skip('capture: not a WireGuard datagram')
    else verdicts.settle(path, `frame ${index + 1}`, () => judgeLayout(datagram))
  }
}

const magicOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)

/** The UDP payload of each frame; undefined for a frame that has none. */
function datagramsOf(bytes: Uint8Array): (Uint8Array | undefined)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isLittle = magics[magicOf(bytes)]!
  const skip = linkHeaders[view.getUint32(20, isLittle) & 0xffff]
  const found: (Uint8Array | undefined)[] = []
  for (let at = 24; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at + 8, isLittle)
    const frame = bytes.subarray(at + 16, at + 16 + length)
    found.push(skip === undefined ? undefined : udpPayload(frame.subarray(skip)))
    at += 16 + length
  }
  return found
}

function udpPayload(packet: Uint8Array): Uint8Array | undefined {
  const version = (packet[0] ?? 0) >> 4
  const isUdp = version === 4 ? packet[9] === 17 : version === 6 && packet[6] === 17
  if (!isUdp) return undefined
  const udp = packet.subarray(version === 4 ? (packet[0]! & 0xf) * 4 : 40)
  return udp.length < 8 ? undefined : udp.subarray(8, (udp[4]! << 8) | udp[5]!)
}
