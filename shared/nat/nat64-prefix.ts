import { type Cidr, contains, formatAddress, formatCidr, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'

/**
 * IPv4 addresses inside IPv6 ones, for networks that have no IPv4 and a NAT64 in its place (RFC 6146). RFC 6052 §2.2, in bytes; `u` is zero,
 * and so is what follows the address:
 *
 *   PL   0     4     5     6     7     8     9     10    11    12 … 15
 *   32   prefix  v4 v4   v4    v4     u
 *   40   prefix       v4  v4   v4     u    v4
 *   48   prefix            v4  v4     u    v4    v4
 *   56   prefix                v4     u    v4    v4    v4
 *   64   prefix                       u    v4    v4    v4    v4
 *   96   prefix                                               v4 v4 v4 v4
 */

/** Lengths of prefixes, bits (RFC 6052 §2.2). */
const LENGTHS = [32, 40, 48, 56, 64, 96] as const
/** Bits 64 to 71, as a byte. */
const U = 8
/** 192.0.0.170 and .171: what ipv4only.arpa has (RFC 7050 §2.2), their last byte apart. */
const WELL_KNOWN = [192, 0, 0] as const
const WELL_KNOWN_LAST = [170, 171] as const
/** Prefixes of one network that are kept. */
const MOST_PREFIXES = 3

/** The name that has IPv4 addresses alone, whose IPv6 addresses show what a DNS64 makes of them (RFC 7050). */
export const IPV4_ONLY_NAME = 'ipv4only.arpa'

/** RFC 6052 §2.1. */
export const WELL_KNOWN_PREFIX: Cidr = parseCidr('64:ff9b::/96')

/** How a network leads to IPv4: the prefixes of its NAT64, and how they came to be known. */
export interface Nat64View {
  /** `discovered`: its name server says so. `remembered`: of a network where it served. `guessed`: it is the well-known one. */
  readonly how: 'discovered' | 'remembered' | 'guessed'
  readonly prefixes: readonly Cidr[]
}

/** Neither can be the network of a translator: this host and IPv4 itself, link-local, multicast. */
const noPrefixes = ['::/32', 'fe80::/10', 'ff00::/8'].map(parseCidr)

/** Places that mean something to their own host or link alone, or to nobody. */
const untranslatable = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(parseCidr)

/** What is not global must not be written with the well-known prefix (RFC 6052 §3.1, RFC 6890). */
const notGlobal = [
  ...['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', '192.0.0.0/24', '198.18.0.0/15'],
  ...['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'],
].map(parseCidr)

/** The 16 bytes of `ipv4` (4 bytes) under `prefix`; undefined where it may not be written so. */
export function embedIpv4(prefix: Cidr, ipv4: Uint8Array): Uint8Array | undefined {
  const isOf = (network: Cidr): boolean => contains(network, ipv4)
  if (ipv4.length !== 4 || untranslatable.some(isOf)) return undefined
  if (contains(WELL_KNOWN_PREFIX, prefix.address) && notGlobal.some(isOf)) return undefined
  const out = new Uint8Array(16)
  out.set(prefix.address.subarray(0, prefix.prefix / 8))
  for (const [i, at] of placesOf(prefix.prefix).entries()) out[at] = ipv4[i]!
  return out
}

/** The 4 bytes that `address` (16 bytes) has under `prefix`; undefined where it is none of its addresses. */
export function extractIpv4(prefix: Cidr, address: Uint8Array): Uint8Array | undefined {
  if (!contains(prefix, address) || address[U] !== 0) return undefined
  return Uint8Array.from(placesOf(prefix.prefix), (at) => address[at]!)
}

/**
 * The prefixes that the IPv6 addresses of ipv4only.arpa were made with (RFC 7050 §3). Where one of the two well-known addresses stands in more
 * than one place, the prefix itself has it too: then only a prefix that was seen with both counts.
 */
export function prefixesIn(addresses: readonly string[]): readonly Cidr[] {
  const seen = new Map<string, { prefix: Cidr; last: Set<number>; alone: boolean }>()
  for (const text of addresses) {
    const address = tryParseAddress(text)
    if (address?.length !== 16) continue
    const found = LENGTHS.flatMap((length) => prefixOf(address, length) ?? [])
    for (const { prefix, last } of found) {
      const key = formatCidr(prefix)
      const entry = seen.get(key) ?? { prefix, last: new Set(), alone: false }
      entry.last.add(last)
      entry.alone ||= found.length === 1
      seen.set(key, entry)
    }
  }
  const good = [...seen.values()].filter(({ last, alone }) => alone || last.size === WELL_KNOWN_LAST.length)
  return good.map(({ prefix }) => prefix).slice(0, MOST_PREFIXES)
}

/** A prefix as text (`2001:db8:64::/96`); undefined where none can be so. */
export function tryParsePrefix(text: string): Cidr | undefined {
  try {
    const prefix = parseCidr(text)
    const isLong = prefix.address.length === 16 && LENGTHS.includes(prefix.prefix as 32)
    return isLong && isPossible(prefix) ? prefix : undefined
  } catch {
    return undefined
  }
}

/**
 * `addresses` (literals) with the ways that a NAT64 gives beside them: before each IPv4 address what leads there, or after it where the prefix
 * is a guess. Order is kept; IPv6 as it comes.
 */
export function withNat64(addresses: readonly string[], view: Nat64View | undefined): readonly string[] {
  if (view === undefined) return addresses
  const all = addresses.flatMap((address) => {
    const made = translationsOf(address, view.prefixes)
    return view.how === 'guessed' ? [address, ...made] : [...made, address]
  })
  return [...new Set(all)]
}

/** The IPv4 address that `address` leads to by one of the prefixes; `address` itself where it is no such one. */
export function behindNat64(address: string, view: Nat64View | undefined): string {
  const bytes = view && tryParseAddress(address)
  if (view === undefined || bytes?.length !== 16) return address
  const [ipv4] = view.prefixes.flatMap((prefix) => extractIpv4(prefix, bytes) ?? [])
  return ipv4 ? formatAddress(ipv4) : address
}

function translationsOf(address: string, prefixes: readonly Cidr[]): readonly string[] {
  const bytes = tryParseAddress(address)
  if (bytes?.length !== 4) return []
  return prefixes.flatMap((prefix) => {
    const made = embedIpv4(prefix, bytes)
    return made ? [formatAddress(made)] : []
  })
}

/** Where the four bytes stand. */
function placesOf(length: number): readonly number[] {
  const places: number[] = []
  for (let at = length / 8; places.length < 4; at++) if (at !== U) places.push(at)
  return places
}

function prefixOf(address: Uint8Array, length: number): { prefix: Cidr; last: number } | undefined {
  const [first, second, third, last] = Array.from(placesOf(length), (at) => address[at]!)
  const isWellKnown = first === WELL_KNOWN[0] && second === WELL_KNOWN[1] && third === WELL_KNOWN[2]
  if (!isWellKnown || address[U] !== 0 || !WELL_KNOWN_LAST.includes(last as 170)) return undefined
  const bits = new Uint8Array(16)
  bits.set(address.subarray(0, length / 8))
  const prefix = { address: bits, prefix: length }
  return isPossible(prefix) ? { prefix, last: last! } : undefined
}

const isPossible = ({ address }: Cidr): boolean => address[U] === 0 && !noPrefixes.some((network) => contains(network, address))
