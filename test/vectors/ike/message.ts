import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { decodeIkeHeader, IKE_HEADER_LENGTH, IKE_MAJOR_VERSION } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage, encodeIkeMessage, type IkeMessage } from '#shared/wire/ike-message.ts'
import { PayloadType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { WireError } from '#shared/wire/wire-error.ts'

/** Read and written again: the same bytes, but for bits that a reader ignores. The message, or the complaint. */
export function readAgain(datagram: Uint8Array): IkeMessage | string {
  const message = decodeIkeMessage(datagram)
  const written = encodeIkeMessage(message.header, message.payloads)
  const plain = withoutIgnored(message.header.firstPayload, datagram, IKE_HEADER_LENGTH)
  return equalPublic(written, plain) ? message : `it was written again as ${toHex(written)}`
}

/** The same of a chain of payloads. */
export function readChainAgain(first: number, bytes: Uint8Array): readonly IkePayload[] | string {
  const payloads = decodePayloads(first, bytes)
  const written = encodePayloads(payloads)
  if (written.first !== (payloads.length === 0 ? 0 : first)) return `its first payload became ${written.first}`
  const plain = withoutIgnored(first, bytes, 0)
  return equalPublic(written.bytes, plain) ? payloads : `it was written again as ${toHex(written.bytes)}`
}

/**
 * A datagram of a stranger: one of IKEv2 is read and written again; one of another version, or without an initiator, must be refused by
 * the one error that decoders have.
 */
export function judgeDatagram(datagram: Uint8Array): string | undefined {
  const isOurs =
    datagram.length >= 18 && datagram[17]! >> 4 === IKE_MAJOR_VERSION && datagram.subarray(0, 8).some((byte) => byte !== 0)
  if (isOurs) {
    const read = readAgain(datagram)
    return typeof read === 'string' ? read : undefined
  }
  return isRefused(datagram) ? undefined : 'a message that is not of IKEv2 was taken'
}

/** Throws what is no WireError. */
export function isRefused(datagram: Uint8Array): boolean {
  try {
    decodeIkeMessage(datagram)
    return false
  } catch (error) {
    if (error instanceof WireError) return true
    throw error
  }
}

/** Version and message id; undefined where not even the header is good. */
export function numbersOf(datagram: Uint8Array): { major: number; minor: number; messageId: number } | undefined {
  try {
    const { majorVersion, minorVersion, messageId } = decodeIkeHeader(datagram)
    return { major: majorVersion, minor: minorVersion, messageId }
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

/** RFC 7296 §2.5, §3.2: the critical bit of a known type, and the reserved bits beside it, are ignored when read, zero when written. */
function withoutIgnored(first: number, bytes: Uint8Array, at: number): Uint8Array {
  const out = bytes.slice()
  for (let type = first; type !== PayloadType.None && at + 4 <= out.length; ) {
    out[at + 1] = 0
    type = type === PayloadType.Sk || type === PayloadType.Skf ? PayloadType.None : out[at]!
    at += (out[at + 2]! << 8) | out[at + 3]!
  }
  return out
}

/** Names of payloads as Wireshark and the RFC abbreviate them. */
const names: Readonly<Record<Exclude<IkePayload['kind'], 'unknown'>, readonly string[]>> = {
  sa: ['SA'],
  ke: ['KE'],
  'id-i': ['IDi'],
  'id-r': ['IDr'],
  cert: ['CERT'],
  'cert-req': ['CERTREQ'],
  auth: ['AUTH'],
  nonce: ['Nonce', 'Ni', 'Nr'],
  notify: ['N'],
  delete: ['D'],
  'vendor-id': ['V', 'VID'],
  'ts-i': ['TSi'],
  'ts-r': ['TSr'],
  sk: ['SK'],
  cp: ['CP'],
  eap: ['EAP'],
  skf: ['SKF'],
}

/** The complaint where the payloads are not those of these names, in this order. */
export function compareNames(payloads: readonly IkePayload[], stated: unknown): string | undefined {
  if (!Array.isArray(stated)) return undefined
  const kinds = payloads.map(({ kind }) => kind)
  const agree =
    kinds.length === stated.length && kinds.every((kind, i) => kind !== 'unknown' && names[kind].includes(String(stated[i])))
  return agree ? undefined : `its payloads are ${kinds.join(' ')}, not ${stated.join(' ')}`
}
