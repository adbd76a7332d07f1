import { DropReason } from '#shared/drop-reason.ts'
import { checkTrailer, EspNextHeader, espNextHeaderOf } from '#shared/wire/esp.ts'
import { innerLength } from './padding.ts'
import type { SelectorGate } from './selector-gate.ts'

/**
 * What an authentic ESP packet, decrypted to `bytes[0..length]`, carries (RFC 4303 §2.6, A-26): the length of its inner packet at
 * `bytes[0..]`, 0 for a dummy, or a negative DropReason. Tunnel mode only: IPv4 or IPv6, as the next header says, from the addresses
 * behind the peer to those behind us. What lies between packet and trailer is TFC padding, and ignored.
 */
export function innerOf(bytes: Uint8Array, length: number, gate: SelectorGate, mtu: number): number {
  const payload = payloadOf(bytes, length)
  return payload <= 0 ? payload : packetIn(bytes, payload, gate, mtu)
}

/** What the trailer leaves of `bytes[start..start + length]`: the packet, with TFC padding maybe; 0 and negative numbers as of `innerOf`. */
export function payloadOf(bytes: Uint8Array, length: number, start = 0): number {
  const payload = checkTrailer(bytes, length, start)
  if (payload < 0) return payload
  const nextHeader = espNextHeaderOf(bytes, length, start)
  if (nextHeader === EspNextHeader.None) return 0
  return payload === 0 || nextHeader !== nextHeaderOf(bytes, start) ? DropReason.InnerMalformed : payload
}

/** The same of a payload whose trailer has been judged and taken off, of at least 1 byte. */
export function packetIn(bytes: Uint8Array, payload: number, gate: SelectorGate, mtu: number): number {
  const inner = innerLength(bytes, payload)
  if (inner < 0) return inner
  if (inner > mtu) return DropReason.InnerTooBig
  return gate.admitsInbound(bytes, inner) ? inner : DropReason.SelectorRefused
}

/** EspNextHeader of the IP packet at `start`; -1 where it is none. */
export function nextHeaderOf(bytes: Uint8Array, start = 0): number {
  const version = bytes[start]! >> 4
  return version === 4 ? EspNextHeader.Ipv4 : version === 6 ? EspNextHeader.Ipv6 : -1
}
