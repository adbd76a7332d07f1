/**
 * Configuration payload (RFC 7296 §3.15).
 *
 *   0      1         4
 *   | type | 0 0 0   | attributes …
 *   attribute   R type (15) | length (16) | value …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { CpAttribute } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { CpPayload } from './payload.ts'

const HEADER_LENGTH = 4
const ATTRIBUTE_HEADER_LENGTH = 4
const MAX_ATTRIBUTES = 64

/** Bytes that a value may have; empty is a question. An inner IPv6 address carries its prefix length, which old peers leave out. */
const valueLengths: Readonly<Record<number, readonly number[]>> = {
  [CpAttribute.InternalIp4Address]: [0, 4],
  [CpAttribute.InternalIp4Netmask]: [0, 4],
  [CpAttribute.InternalIp4Dns]: [0, 4],
  [CpAttribute.InternalIp6Address]: [0, 16, 17],
  [CpAttribute.InternalIp6Dns]: [0, 16],
  [CpAttribute.InternalIp4Subnet]: [0, 8],
  [CpAttribute.InternalIp6Subnet]: [0, 17],
}

export function decodeCp(body: Uint8Array): CpPayload {
  const reader = new Reader(body)
  const type = reader.u8()
  reader.skip(3)
  const attributes: CpPayload['attributes'][number][] = []
  while (reader.left > 0) {
    if (attributes.length === MAX_ATTRIBUTES) throw new WireError('ike-cp', `more than ${MAX_ATTRIBUTES} attributes`)
    const attribute = reader.u16() & 0x7fff
    const value = reader.view(reader.u16())
    if (valueLengths[attribute]?.includes(value.length) === false)
      throw new WireError('ike-cp', `attribute ${attribute} has a value of ${value.length} bytes`)
    attributes.push({ type: attribute, value })
  }
  return { kind: 'cp', type, attributes }
}

export function encodeCp(payload: CpPayload, out: Uint8Array, at = 0): number {
  const writer = new Writer(out, at).u8(payload.type).zeros(3)
  for (const { type, value } of payload.attributes) writer.u16(type).u16(value.length).bytes(value)
  return writer.at - at
}

export function lengthOfCp(payload: CpPayload): number {
  let length = HEADER_LENGTH
  for (const { value } of payload.attributes) length += ATTRIBUTE_HEADER_LENGTH + value.length
  return length
}
