/**
 * Identification payloads, IDi and IDr (RFC 7296 §3.5).
 *
 *   0      1         4
 *   | type | 0 0 0   | address, name or DER …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { IdType } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { IdPayload, IkeId } from './payload.ts'

const HEADER_LENGTH = 4

/** Bytes of the types that have a fixed length. */
const fixedLengths: Readonly<Record<number, number>> = { [IdType.Ipv4]: 4, [IdType.Ipv6]: 16 }
const namedTypes: readonly number[] = Object.values(IdType)

/** An identity of a type that is not known may be empty (ID_NULL of RFC 7619 is); others never are. */
export function decodeId(kind: IdPayload['kind'], body: Uint8Array): IdPayload {
  const reader = new Reader(body)
  const type = reader.u8()
  reader.skip(3)
  const data = reader.rest()
  const fixed = fixedLengths[type]
  if (fixed !== undefined && data.length !== fixed)
    throw new WireError('ike-id', `an identity of type ${type} has ${fixed} bytes, not ${data.length}`)
  if (data.length === 0 && namedTypes.includes(type)) throw new WireError('ike-id', `an empty identity of type ${type}`)
  return { kind, type, data }
}

/** The body of the payload, which is also what AUTH covers of it (RFC 7296 §2.15: RestOfInitIDPayload). */
export function encodeId(id: IkeId, out: Uint8Array, at = 0): number {
  return new Writer(out, at).u8(id.type).zeros(3).bytes(id.data).at - at
}

export const lengthOfId = (id: IkeId): number => HEADER_LENGTH + id.data.length
