/**
 * Traffic Selector payloads, TSi and TSr (RFC 7296 §3.13).
 *
 *   0       1        4
 *   | count | 0 0 0  | selectors …
 *   selector   | type | protocol | length (16) | start port (16) | end port (16) | first address | last address |
 */
import { compareBytes } from '#shared/bytes/compare.ts'
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { TsType } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { TrafficSelector, TsPayload } from './payload.ts'

const HEADER_LENGTH = 4
/** Bytes before the addresses. */
const SELECTOR_HEADER_LENGTH = 8

/**
 * Selectors of other types (security labels, Fibre Channel) are left out: traffic that they alone describe is none that we carry, and
 * who narrows may choose from the rest.
 */
export function decodeTs(kind: TsPayload['kind'], body: Uint8Array): TsPayload {
  const reader = new Reader(body)
  const count = reader.u8()
  if (count === 0) throw new WireError('ike-ts', 'no traffic selector')
  reader.skip(3)
  const selectors: TrafficSelector[] = []
  for (let i = 0; i < count; i++) {
    const selector = decodeSelector(reader)
    if (selector !== undefined) selectors.push(selector)
  }
  reader.end()
  return { kind, selectors }
}

function decodeSelector(reader: Reader): TrafficSelector | undefined {
  const type = reader.u8()
  const protocol = reader.u8()
  const length = reader.u16()
  if (length < 4) throw new WireError('ike-ts', `a traffic selector of ${length} bytes`)
  const inside = new Reader(reader.view(length - 4))
  if (type !== TsType.Ipv4Range && type !== TsType.Ipv6Range) return undefined
  const startPort = inside.u16()
  const endPort = inside.u16()
  const addressLength = type === TsType.Ipv4Range ? 4 : 16
  const start = inside.view(addressLength)
  const end = inside.view(addressLength)
  inside.end()
  if (compareBytes(start, end) > 0) throw new WireError('ike-ts', 'a range of addresses that ends before it starts')
  // 65535..0 is OPAQUE: packets whose ports cannot be seen (RFC 4301 §4.4.1.1).
  if (startPort > endPort && !(startPort === 65_535 && endPort === 0))
    throw new WireError('ike-ts', 'a range of ports that ends before it starts')
  return { protocol, startPort, endPort, start, end }
}

export function encodeTs(payload: TsPayload, out: Uint8Array, at = 0): number {
  const writer = new Writer(out, at).u8(payload.selectors.length).zeros(3)
  for (const selector of payload.selectors) {
    const { protocol, startPort, endPort, start, end } = selector
    writer.u8(start.length === 4 ? TsType.Ipv4Range : TsType.Ipv6Range).u8(protocol)
    writer.u16(lengthOfSelector(selector)).u16(startPort).u16(endPort).bytes(start).bytes(end)
  }
  return writer.at - at
}

export function lengthOfTs(payload: TsPayload): number {
  let length = HEADER_LENGTH
  for (const selector of payload.selectors) length += lengthOfSelector(selector)
  return length
}

const lengthOfSelector = (selector: TrafficSelector): number => SELECTOR_HEADER_LENGTH + 2 * selector.start.length
