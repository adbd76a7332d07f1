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
  const payload = checkTrailer(bytes, length)
  if (payload < 0) return payload
  const nextHeader = espNextHeaderOf(bytes, length)
  if (nextHeader === EspNextHeader.None) return 0
  if (payload === 0 || nextHeader !== nextHeaderOf(bytes)) return DropReason.InnerMalformed
  const inner = innerLength(bytes, payload)
  if (inner < 0) return inner
  if (inner > mtu) return DropReason.InnerTooBig
  return gate.admitsInbound(bytes, inner) ? inner : DropReason.SelectorRefused
}

/** EspNextHeader of an IP packet; -1 where it is none. */
export function nextHeaderOf(inner: Uint8Array): number {
  const version = inner[0]! >> 4
  return version === 4 ? EspNextHeader.Ipv4 : version === 6 ? EspNextHeader.Ipv6 : -1
}
