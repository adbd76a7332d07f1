import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { classify } from '#shared/wire/demux.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { decodeCookieReply, encodeCookieReply } from '#shared/wire/wireguard-cookie.ts'
import { counterHighOf, counterLowOf, decodeData, encodeData, putDataHeader, receiverOf } from '#shared/wire/wireguard-data.ts'
import { decodeInitiation, encodeInitiation } from '#shared/wire/wireguard-initiation.ts'
import { decodeResponse, encodeResponse } from '#shared/wire/wireguard-response.ts'
import { isFields } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'

/** scapy's dissection test: `{packets: [hex]}`. Layouts, not valid cryptography. */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && Array.isArray(contents.packets) && contents.packets.every((packet) => typeof packet === 'string')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !Array.isArray(contents.packets)) throw new BrokenFormat(`${path} has no packets`)
  for (const [index, packet] of contents.packets.entries())
    verdicts.settle(path, index, () => judgeLayout(fromHex(String(packet))))
}

/**
 * Taken apart and put together again, a message must be the same bytes. A dummy that is shorter than any message of its type must be
 * refused as such by demux and decoder, and its header still be read right.
 */
export function judgeLayout(datagram: Uint8Array): string | undefined {
  const again = new Uint8Array(datagram.length)
  const isWhole = classify(datagram).startsWith('wireguard-')
  try {
    rebuild(datagram, again)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    if (isWhole) return `refused: ${error.message}`
    return datagram[0] === 4 && datagram.length >= 16 ? judgeHeader(datagram) : undefined
  }
  if (!isWhole) return 'the decoder took what the demux refuses'
  return equalPublic(again, datagram) ? undefined : `it became ${toHex(again)}`
}

function rebuild(datagram: Uint8Array, out: Uint8Array): void {
  switch (datagram[0]) {
    case 1:
      encodeInitiation(decodeInitiation(datagram), out)
      break
    case 2:
      encodeResponse(decodeResponse(datagram), out)
      break
    case 3:
      encodeCookieReply(decodeCookieReply(datagram), out)
      break
    default:
      encodeData(decodeData(datagram), out)
  }
}

function judgeHeader(datagram: Uint8Array): string | undefined {
  const header = new Uint8Array(16)
  putDataHeader(header, receiverOf(datagram), counterHighOf(datagram), counterLowOf(datagram))
  return equalPublic(header, datagram.subarray(0, 16)) ? undefined : `the header became ${toHex(header)}`
}
