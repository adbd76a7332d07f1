/**
 * XOR-MAPPED-ADDRESS and MAPPED-ADDRESS (RFC 8489 §14.2, §14.1).
 *
 *   | 0 | family 1|2 | port (^ 2112) | address (^ magic cookie, then transaction id) |
 */
import { formatAddress, parseAddress } from './ip-address.ts'
import { MAGIC_COOKIE } from './stun.ts'
import { WireError } from './wire-error.ts'

export interface StunAddress {
  /** Literal IPv4 or IPv6. */
  address: string
  port: number
}

const families: Readonly<Record<number, number>> = { 1: 4, 2: 16 }

/** The address in the clear (MAPPED-ADDRESS), or hidden from meddling NATs where `transactionId` is given (XOR-). */
export function decodeStunAddress(value: Uint8Array, transactionId?: Uint8Array): StunAddress {
  const width = families[value[1] ?? 0]
  if (width === undefined) throw new WireError('stun-family', 'an address family is 1 or 2')
  if (value.length !== 4 + width) throw new WireError('stun-address', `an address of this family has ${4 + width} bytes`)
  const bytes = masked(value, transactionId)
  return { address: formatAddress(bytes.slice(4)), port: (bytes[2]! << 8) | bytes[3]! }
}

/** The value of the attribute: 8 bytes for IPv4, 20 for IPv6. IPv4 in IPv6 form (::ffff:0:0/96) is told as IPv4. */
export function encodeStunAddress({ address, port }: StunAddress, transactionId?: Uint8Array): Uint8Array {
  const bytes = unmapped(parseAddress(address))
  const value = new Uint8Array(4 + bytes.length)
  value[1] = bytes.length === 4 ? 1 : 2
  value[2] = port >>> 8
  value[3] = port
  value.set(bytes, 4)
  return masked(value, transactionId)
}

/** XOR with the magic cookie and the transaction id, its own inverse; the first two bytes stay. */
function masked(value: Uint8Array, transactionId: Uint8Array | undefined): Uint8Array {
  const out = value.slice()
  if (transactionId === undefined) return out
  const mask = new Uint8Array(16)
  new DataView(mask.buffer).setUint32(0, MAGIC_COOKIE)
  mask.set(transactionId, 4)
  out[2]! ^= mask[0]!
  out[3]! ^= mask[1]!
  for (let i = 4; i < out.length; i++) out[i]! ^= mask[i - 4]!
  return out
}

function unmapped(bytes: Uint8Array): Uint8Array {
  const isMapped = bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((b) => b === 0)
  return isMapped ? bytes.subarray(12) : bytes
}
