import { parseAddress } from '#shared/wire/ip-address.ts'

/**
 * The loopback address from which an operator's connections reach local services (DESIGN D14), so that the device's own logs tell
 * operators apart: 127.64.0.0/10 with the low 22 bits of the operator's inner address, IPv4 or IPv6. Both families of one operator
 * may give two addresses; each is stable.
 */
export function operatorLoopback(innerAddress: string): string {
  const bytes = parseAddress(innerAddress)
  const [a = 0, b = 0, c = 0] = bytes.subarray(bytes.length - 3)
  return `127.${64 | (a & 0x3f)}.${b}.${c === 0 || c === 255 ? 1 : c}`
}

export const isLoopbackV4 = (address: string): boolean => address.startsWith('127.') || address === 'localhost'
