/** A whole IKE message: header and chain of payloads (RFC 7296 §3.1, §3.2), without the non-ESP marker. */
import { decodeIkeHeader, encodeIkeHeader, IKE_HEADER_LENGTH, IKE_MAJOR_VERSION, type IkeHeader } from './ike-header.ts'
import type { IkePayload } from './ike-payload/payload.ts'
import { decodePayloads, lengthOfPayloads, writePayloads } from './ike-payloads.ts'
import { WireError } from './wire-error.ts'

export interface IkeMessage {
  readonly header: IkeHeader
  /** Those that are not encrypted; the last may be `sk` or `skf`. */
  readonly payloads: readonly IkePayload[]
}

/** A header but for what follows from the payloads. */
export type IkeHeaderFields = Omit<IkeHeader, 'firstPayload' | 'length'>

/** Byte fields are views into `datagram`. A message of another major version has payloads of another kind: WireError `ike-version`. */
export function decodeIkeMessage(datagram: Uint8Array): IkeMessage {
  const header = decodeIkeHeader(datagram)
  if (header.majorVersion !== IKE_MAJOR_VERSION)
    throw new WireError('ike-version', `IKE version ${header.majorVersion}.${header.minorVersion}`)
  return { header, payloads: decodePayloads(header.firstPayload, datagram.subarray(IKE_HEADER_LENGTH)) }
}

/** In fresh memory. */
export function encodeIkeMessage(header: IkeHeaderFields, payloads: readonly IkePayload[]): Uint8Array {
  const length = IKE_HEADER_LENGTH + lengthOfPayloads(payloads)
  const out = new Uint8Array(length)
  const firstPayload = writePayloads(payloads, out, IKE_HEADER_LENGTH)
  encodeIkeHeader({ ...header, firstPayload, length }, out)
  return out
}
