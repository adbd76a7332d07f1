/**
 * struct sockaddr_in and sockaddr_in6 in native memory, and endpoints: family (16 bits, the machine's order), port (network order), then
 *
 *   IPv4   address (4)
 *   IPv6   flow information (4), address (16), scope (4): the number of the interface, of link-local addresses only
 */
import { networkInterfaces } from 'node:os'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'
import type { NativeMemory } from './memory.ts'

/** Families of sockets on Linux. */
export const AF_INET = 2
export const AF_INET6 = 10

/** Bytes that hold an address of either family. */
export const SOCKET_ADDRESS_ROOM = 28

/**
 * Writes `endpoint` at `at`, where there are SOCKET_ADDRESS_ROOM bytes, `at` a multiple of 4. Returns the length of the structure; 0 where
 * it is no literal address.
 */
export function writeSocketAddress(memory: NativeMemory, at: number, endpoint: Endpoint): number {
  const { bytes, halves, words, view, abi } = memory
  const zone = endpoint.address.indexOf('%')
  const address = tryParseAddress(zone < 0 ? endpoint.address : endpoint.address.slice(0, zone))
  if (address === undefined) return 0
  bytes.fill(0, at, at + SOCKET_ADDRESS_ROOM)
  view.setUint16(at + 2, endpoint.port)
  if (address.length === 4) {
    if (zone >= 0) return 0
    halves[at >> 1] = AF_INET
    bytes.set(address, at + abi.sockaddrIn.address)
    return abi.sockaddrIn.size
  }
  halves[at >> 1] = AF_INET6
  bytes.set(address, at + abi.sockaddrIn6.address)
  if (zone >= 0) words[(at + abi.sockaddrIn6.scope) >> 2] = scopeOf(endpoint.address.slice(zone + 1))
  return abi.sockaddrIn6.size
}

/** What stands at `at`; undefined where it is of neither family. An IPv4-mapped IPv6 address is told as the IPv4 address that it is. */
export function readSocketAddress(memory: NativeMemory, at: number): Endpoint | undefined {
  const { bytes, halves, words, view, abi } = memory
  const family = halves[at >> 1]
  const port = view.getUint16(at + 2)
  if (family === AF_INET) return { address: formatAddress(bytes, at + abi.sockaddrIn.address, 4), port }
  if (family !== AF_INET6) return undefined
  const text = formatAddress(bytes, at + abi.sockaddrIn6.address, 16)
  const scope = words[(at + abi.sockaddrIn6.scope) >> 2]!
  if (text.startsWith('::ffff:') && text.includes('.')) return { address: text.slice('::ffff:'.length), port }
  return { address: scope === 0 ? text : `${text}%${scope}`, port }
}

/** Whether the same endpoint stands at both places (multiples of 4). Makes no object. */
export function sameSocketAddress({ words, abi }: NativeMemory, one: number, other: number): boolean {
  let a = one >> 2
  let b = other >> 2
  // Family and port.
  if (words[a] !== words[b]) return false
  if ((words[a]! & 0xffff) === AF_INET) return words[a + 1] === words[b + 1]
  // Flow information says nothing about who sent it.
  const end = (one + abi.sockaddrIn6.size) >> 2
  for (a += 2, b += 2; a < end; a++, b++) if (words[a] !== words[b]) return false
  return true
}

/** The number of an interface that is named or numbered; 0, which no interface has, where there is none. */
function scopeOf(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone)
  return networkInterfaces()[zone]?.find((one) => one.family === 'IPv6' && one.scopeid > 0)?.scopeid ?? 0
}
