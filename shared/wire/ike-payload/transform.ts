/**
 * Transform substructure of a proposal (RFC 7296 §3.3.2) with its attributes (§3.3.5).
 *
 *   | 0 last, 3 more | 0 | length (16) | type | 0 | id (16) | attributes …
 *   attribute   1 type (15) | value (16)     or     0 type (15) | length (16) | value …
 */
import { Reader } from '#shared/bytes/reader.ts'
import type { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { Transform } from './payload.ts'

const TRANSFORM_HEADER_LENGTH = 8
const ATTRIBUTE_LENGTH = 4
const MORE_TRANSFORMS = 3
/** The attribute's format bit and Key Length (14), the one attribute that is defined. */
const SHORT_FORMAT = 0x8000
const KEY_LENGTH = SHORT_FORMAT | 14

/** `last`: by the count of the proposal, with which the mark must agree. */
export function decodeTransform(reader: Reader, last: boolean): Transform {
  const marker = reader.u8()
  if (marker !== (last ? 0 : MORE_TRANSFORMS))
    throw new WireError('ike-transform', `the ${last ? 'last' : 'next'} transform is marked ${marker}`)
  reader.skip(1)
  const length = reader.u16()
  if (length < TRANSFORM_HEADER_LENGTH)
    throw new WireError('ike-transform', `a transform has at least ${TRANSFORM_HEADER_LENGTH} bytes, not ${length}`)
  const inside = new Reader(reader.view(length - 4))
  const type = inside.u8()
  inside.skip(1)
  return { type, id: inside.u16(), ...decodeAttributes(inside) }
}

/** A key length in the long format, which §3.3.5 forbids, is an attribute that is not known. */
function decodeAttributes(reader: Reader): Pick<Transform, 'keyLength' | 'unknownAttribute'> {
  let keyLength: number | undefined
  let unknownAttribute = false
  while (reader.left > 0) {
    const type = reader.u16()
    const value = reader.u16()
    if (type === KEY_LENGTH) {
      if (keyLength !== undefined) throw new WireError('ike-transform', 'a transform with two key lengths')
      keyLength = value
      continue
    }
    unknownAttribute = true
    if (type < SHORT_FORMAT) reader.skip(value)
  }
  return { ...(keyLength !== undefined && { keyLength }), ...(unknownAttribute && { unknownAttribute }) }
}

/** An unknown attribute cannot be written again: RangeError. */
export function encodeTransform(transform: Transform, last: boolean, writer: Writer): void {
  if (transform.unknownAttribute) throw new RangeError('a transform with an attribute that is not known cannot be written')
  writer
    .u8(last ? 0 : MORE_TRANSFORMS)
    .u8(0)
    .u16(lengthOfTransform(transform))
  writer.u8(transform.type).u8(0).u16(transform.id)
  if (transform.keyLength !== undefined) writer.u16(KEY_LENGTH).u16(transform.keyLength)
}

export const lengthOfTransform = (transform: Transform): number =>
  TRANSFORM_HEADER_LENGTH + (transform.keyLength === undefined ? 0 : ATTRIBUTE_LENGTH)
