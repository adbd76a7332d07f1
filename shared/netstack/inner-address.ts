import { formatAddress, parseAddress } from '#shared/wire/ip-address.ts'

/** One of a stack's own addresses. Connections share the object. */
export interface InnerAddress {
  readonly text: string
  /** 4 or 16. */
  readonly bytes: Uint8Array
}

export function innerAddress(text: string): InnerAddress {
  const bytes = parseAddress(text)
  return { text: formatAddress(bytes), bytes }
}

/** Whether the address `bytes` stands at `packet[at..]`. */
export function standsAt(bytes: Uint8Array, packet: Uint8Array, at: number): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== packet[at + i]) return false
  return true
}

/** Multicast, the unspecified address and IPv4 broadcast: nobody may be answered there (RFC 1122 §3.2.2, RFC 4443 §2.4e). */
export function isUnicast(packet: Uint8Array, at: number, length: number): boolean {
  if (length === 4) return packet[at] !== 0 && packet[at]! < 224
  if (packet[at] === 0xff) return false
  for (let i = 0; i < 16; i++) if (packet[at + i] !== 0) return true
  return false
}
