/**
 * The chain of payloads of an IKE message, or of what one decrypts to. Each begins with a generic header (RFC 7296 §3.2):
 *
 *   0      1              2             4
 *   | next | C 0000000    | length (16) | body …
 *
 *   next: type of the payload behind this one, 0 in the last; C: critical, for who does not know this type; length: with this header
 *
 * An encrypted payload is the last whatever it says: its `next` is the type of the first payload inside.
 */
import { plainView } from '#shared/bytes/view.ts'
import { PayloadType } from './ike-numbers.ts'
import { decodeAuth, encodeAuth, lengthOfAuth } from './ike-payload/auth.ts'
import { decodeCert, encodeCert, lengthOfCert } from './ike-payload/cert.ts'
import { decodeCertReq, encodeCertReq, lengthOfCertReq } from './ike-payload/cert-req.ts'
import { decodeCp, encodeCp, lengthOfCp } from './ike-payload/cp.ts'
import { decodeDelete, encodeDelete, lengthOfDelete } from './ike-payload/delete.ts'
import { decodeEap, encodeEap, lengthOfEap } from './ike-payload/eap.ts'
import { decodeId, encodeId, lengthOfId } from './ike-payload/id.ts'
import { decodeKe, encodeKe, lengthOfKe } from './ike-payload/ke.ts'
import { decodeNonce, encodeNonce, lengthOfNonce } from './ike-payload/nonce.ts'
import { decodeNotify, encodeNotify, lengthOfNotify } from './ike-payload/notify.ts'
import type { IkePayload } from './ike-payload/payload.ts'
import { decodeSa, encodeSa, lengthOfSa } from './ike-payload/sa.ts'
import { decodeSk, encodeSk, lengthOfSk } from './ike-payload/sk.ts'
import { decodeSkf, encodeSkf, lengthOfSkf } from './ike-payload/skf.ts'
import { decodeTs, encodeTs, lengthOfTs } from './ike-payload/ts.ts'
import { decodeUnknown, encodeUnknown, lengthOfUnknown } from './ike-payload/unknown.ts'
import { decodeVendorId, encodeVendorId, lengthOfVendorId } from './ike-payload/vendor-id.ts'
import { WireError } from './wire-error.ts'

/** Bytes. */
export const PAYLOAD_HEADER_LENGTH = 4
const CRITICAL = 0x80
const PAYLOAD_MAX_LENGTH = 0xffff

/** Payloads in one chain. */
export const MAX_PAYLOADS = 50

/** How many of a type one chain may have, as strongSwan caps them; of any other type that we know, one. */
const caps: Readonly<Record<number, number>> = {
  [PayloadType.Notify]: 20,
  [PayloadType.VendorId]: 20,
  [PayloadType.CertReq]: 20,
  [PayloadType.Delete]: 20,
  [PayloadType.Cert]: 8,
}

/** A payload of a type that is not known demands to be understood: answered by UNSUPPORTED_CRITICAL_PAYLOAD with its type (§2.5). */
export class CriticalPayloadError extends WireError {
  readonly payloadType: number

  constructor(payloadType: number) {
    super('ike-critical', `payload type ${payloadType} is critical and not known`)
    this.payloadType = payloadType
  }
}

interface PayloadCodec<P extends IkePayload> {
  type(payload: P): number
  lengthOf(payload: P): number
  encode(payload: P, out: Uint8Array, at: number): number
}

type Decode = (body: Uint8Array, next: number) => IkePayload

const decoders: ReadonlyMap<number, Decode> = new Map<number, Decode>([
  [PayloadType.Sa, decodeSa],
  [PayloadType.Ke, decodeKe],
  [PayloadType.IdI, (body) => decodeId('id-i', body)],
  [PayloadType.IdR, (body) => decodeId('id-r', body)],
  [PayloadType.Cert, decodeCert],
  [PayloadType.CertReq, decodeCertReq],
  [PayloadType.Auth, decodeAuth],
  [PayloadType.Nonce, decodeNonce],
  [PayloadType.Notify, decodeNotify],
  [PayloadType.Delete, decodeDelete],
  [PayloadType.VendorId, decodeVendorId],
  [PayloadType.TsI, (body) => decodeTs('ts-i', body)],
  [PayloadType.TsR, (body) => decodeTs('ts-r', body)],
  [PayloadType.Sk, (body, next) => decodeSk(next, body)],
  [PayloadType.Cp, decodeCp],
  [PayloadType.Eap, decodeEap],
  [PayloadType.Skf, (body, next) => decodeSkf(next, body)],
])

const codecs: { readonly [K in IkePayload['kind']]: PayloadCodec<Extract<IkePayload, { kind: K }>> } = {
  sa: { type: () => PayloadType.Sa, lengthOf: lengthOfSa, encode: encodeSa },
  ke: { type: () => PayloadType.Ke, lengthOf: lengthOfKe, encode: encodeKe },
  'id-i': { type: () => PayloadType.IdI, lengthOf: lengthOfId, encode: encodeId },
  'id-r': { type: () => PayloadType.IdR, lengthOf: lengthOfId, encode: encodeId },
  cert: { type: () => PayloadType.Cert, lengthOf: lengthOfCert, encode: encodeCert },
  'cert-req': { type: () => PayloadType.CertReq, lengthOf: lengthOfCertReq, encode: encodeCertReq },
  auth: { type: () => PayloadType.Auth, lengthOf: lengthOfAuth, encode: encodeAuth },
  nonce: { type: () => PayloadType.Nonce, lengthOf: lengthOfNonce, encode: encodeNonce },
  notify: { type: () => PayloadType.Notify, lengthOf: lengthOfNotify, encode: encodeNotify },
  delete: { type: () => PayloadType.Delete, lengthOf: lengthOfDelete, encode: encodeDelete },
  'vendor-id': { type: () => PayloadType.VendorId, lengthOf: lengthOfVendorId, encode: encodeVendorId },
  'ts-i': { type: () => PayloadType.TsI, lengthOf: lengthOfTs, encode: encodeTs },
  'ts-r': { type: () => PayloadType.TsR, lengthOf: lengthOfTs, encode: encodeTs },
  sk: { type: () => PayloadType.Sk, lengthOf: lengthOfSk, encode: encodeSk },
  cp: { type: () => PayloadType.Cp, lengthOf: lengthOfCp, encode: encodeCp },
  eap: { type: () => PayloadType.Eap, lengthOf: lengthOfEap, encode: encodeEap },
  skf: { type: () => PayloadType.Skf, lengthOf: lengthOfSkf, encode: encodeSkf },
  unknown: { type: (payload) => payload.type, lengthOf: lengthOfUnknown, encode: encodeUnknown },
}

/**
 * All payloads, from the one whose type is `first` on, in their order. `bytes` must hold the whole chain and nothing behind it; an
 * empty chain is `first` 0 and no bytes. Byte fields are views into `bytes`. Throws WireError; CriticalPayloadError is one.
 */
export function decodePayloads(first: number, bytes: Uint8Array): IkePayload[] {
  const plain = plainView(bytes)
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  const counts = new Map<number, number>()
  const payloads: IkePayload[] = []
  let at = 0
  for (let type = first; type !== PayloadType.None; ) {
    if (payloads.length === MAX_PAYLOADS) throw new WireError('ike-payloads', `more than ${MAX_PAYLOADS} payloads`)
    if (plain.length - at < PAYLOAD_HEADER_LENGTH)
      throw new WireError('short', `payload type ${type} is announced, ${plain.length - at} bytes are left`)
    const next = view.getUint8(at)
    const critical = (view.getUint8(at + 1) & CRITICAL) !== 0
    const length = view.getUint16(at + 2)
    if (length < PAYLOAD_HEADER_LENGTH || length > plain.length - at)
      throw new WireError('ike-payload-length', `payload type ${type} says ${length} bytes, ${plain.length - at} are left`)
    countOne(counts, type)
    const body = plain.subarray(at + PAYLOAD_HEADER_LENGTH, at + length)
    const decode = decoders.get(type)
    if (decode === undefined && critical) throw new CriticalPayloadError(type)
    payloads.push(decode === undefined ? decodeUnknown(type, critical, body) : decode(body, next))
    at += length
    type = isEncrypted(type) ? PayloadType.None : next
  }
  if (at < plain.length) throw new WireError('trailing', `${plain.length - at} bytes after the last payload`)
  return payloads
}

function countOne(counts: Map<number, number>, type: number): void {
  const count = (counts.get(type) ?? 0) + 1
  const cap = caps[type] ?? (decoders.has(type) ? 1 : MAX_PAYLOADS)
  if (count > cap) throw new WireError('ike-payloads', `more than ${cap} payloads of type ${type}`)
  counts.set(type, count)
}

const isEncrypted = (type: number): boolean => type === PayloadType.Sk || type === PayloadType.Skf

/** The chain in fresh memory, and the type of its first payload. Reserved bits and the critical bit of known types are zero. */
export function encodePayloads(payloads: readonly IkePayload[]): { first: number; bytes: Uint8Array } {
  const bytes = new Uint8Array(lengthOfPayloads(payloads))
  return { first: writePayloads(payloads, bytes, 0), bytes }
}

/** Writes the chain into `out` from `at` on, where there must be `lengthOfPayloads` bytes of room; returns the type of the first. */
export function writePayloads(payloads: readonly IkePayload[], out: Uint8Array, at: number): number {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength)
  for (const [index, payload] of payloads.entries()) {
    const length = lengthOfPayload(payload)
    if (length > PAYLOAD_MAX_LENGTH) throw new RangeError(`a payload of ${length} bytes cannot be written`)
    view.setUint8(at, 'first' in payload ? payload.first : typeOf(payloads[index + 1]))
    view.setUint8(at + 1, payload.kind === 'unknown' && payload.critical ? CRITICAL : 0)
    view.setUint16(at + 2, length)
    codecOf(payload).encode(payload, out, at + PAYLOAD_HEADER_LENGTH)
    at += length
  }
  return typeOf(payloads[0])
}

export function lengthOfPayloads(payloads: readonly IkePayload[]): number {
  let length = 0
  for (const payload of payloads) length += lengthOfPayload(payload)
  return length
}

/** With its generic header. */
const lengthOfPayload = (payload: IkePayload): number => PAYLOAD_HEADER_LENGTH + codecOf(payload).lengthOf(payload)

const typeOf = (payload: IkePayload | undefined): number =>
  payload === undefined ? PayloadType.None : codecOf(payload).type(payload)

/** The table is keyed by kind, which the compiler cannot follow through a variable of the union type. */
const codecOf = (payload: IkePayload): PayloadCodec<IkePayload> => codecs[payload.kind] as PayloadCodec<IkePayload>
