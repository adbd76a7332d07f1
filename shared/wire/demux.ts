/**
 * What a datagram on the one UDP port is (DESIGN D2). The first bytes decide, in this order:
 *
 *   FF alone                           NAT keepalive (RFC 3948 §2.3)
 *   00 00 00 00                        IKE behind the non-ESP marker (RFC 3948 §2.2)
 *   01..04 00 00 00                    WireGuard: initiation 148, response 92, cookie reply 64, data >= 32 bytes
 *   00xxxxxx, 21 12 A4 42 at offset 4  STUN (RFC 8489 §6.3)
 *   1xxxxxxx                           ESP, by SPI: ours always have the top bit set
 *
 * Lengths that no message of a kind can have are `unknown` at once, before anybody spends a hash on them.
 */
export type DatagramKind = 'keepalive' | 'ike' | 'wireguard-handshake' | 'wireguard-data' | 'stun' | 'esp' | 'unknown'

export const INITIATION_LENGTH = 148
export const RESPONSE_LENGTH = 92
export const COOKIE_REPLY_LENGTH = 64
/** Header 16 and authenticator 16: an empty packet. */
export const DATA_MIN_LENGTH = 32

/** Non-ESP marker 4 and IKE header 28 (RFC 7296 §3.1). */
const IKE_MIN_LENGTH = 32
/** RFC 8489 §5: header; what follows is a multiple of 4. */
const STUN_HEADER_LENGTH = 20
/** SPI 4, sequence 4, and the shortest of our ICVs, 12 (RFC 4303 §2). */
export const ESP_MIN_LENGTH = 20

/** Makes no object and never throws. */
export function classify(datagram: Uint8Array): DatagramKind {
  const length = datagram.length
  if (length === 1) return datagram[0] === 0xff ? 'keepalive' : 'unknown'
  if (length < STUN_HEADER_LENGTH) return 'unknown'
  const first = datagram[0]!
  if (first >= 0x80) return length >= ESP_MIN_LENGTH ? 'esp' : 'unknown'
  const zeros = datagram[1] === 0 && datagram[2] === 0 && datagram[3] === 0
  if (zeros && first === 0) return length >= IKE_MIN_LENGTH ? 'ike' : 'unknown'
  if (zeros && first <= 4) return wireguardKind(first, length)
  return isStun(datagram) ? 'stun' : 'unknown'
}

function wireguardKind(type: number, length: number): DatagramKind {
  if (type === 4) return length >= DATA_MIN_LENGTH ? 'wireguard-data' : 'unknown'
  const expected = type === 1 ? INITIATION_LENGTH : type === 2 ? RESPONSE_LENGTH : COOKIE_REPLY_LENGTH
  return length === expected ? 'wireguard-handshake' : 'unknown'
}

function isStun(datagram: Uint8Array): boolean {
  return (
    datagram[0]! < 0x40 &&
    datagram.length % 4 === 0 &&
    datagram[4] === 0x21 &&
    datagram[5] === 0x12 &&
    datagram[6] === 0xa4 &&
    datagram[7] === 0x42
  )
}
