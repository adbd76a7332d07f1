/**
 * IP addresses as bytes in network order (4 or 16) and as text: RFC 4291 §2.2 read, RFC 5952 written. IPv4 text is the
 * strict dotted quad: four decimal numbers without leading zeros, since `010` is eight to some readers and ten to others.
 * Zones (`%eth0`) belong to sockets, not to addresses, and are refused.
 */

/** Bytes of an address of each family. */
export const IPV4_ADDRESS_LENGTH = 4
export const IPV6_ADDRESS_LENGTH = 16

/** An address and the number of its leading bits that name the network; host bits are kept as they were written. */
export interface Cidr {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
  /** 0..32 or 0..128. */
  readonly prefix: number
}

/** The 4 or 16 bytes of `text`, or undefined where it is no address. */
export function tryParseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text)
}

/** Whether it is a literal address of IPv4. */
export const isIpv4 = (text: string): boolean => tryParseAddress(text)?.length === IPV4_ADDRESS_LENGTH

/** The 4 or 16 bytes of `text`; throws RangeError where it is no address. */
export function parseAddress(text: string): Uint8Array {
  const address = tryParseAddress(text)
  if (address === undefined) throw new RangeError(`not an IP address: ${JSON.stringify(text)}`)
  return address
}

/** Canonical text of 4 or 16 bytes (RFC 5952: lower case, longest run of zeros as `::`); throws RangeError on other sizes. */
export function formatAddress(bytes: Uint8Array, at = 0, length: number = bytes.length - at): string {
  if (length === IPV4_ADDRESS_LENGTH) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
  if (length !== IPV6_ADDRESS_LENGTH) throw new RangeError(`an IP address has 4 or 16 bytes, not ${length}`)
  const groups: number[] = []
  for (let i = 0; i < 8; i++) groups.push((bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!)
  const { start, count } = longestZeroRun(groups)
  if (start === 0 && count === 5 && groups[5] === 0xffff) return `::ffff:${formatAddress(bytes, at + 12, IPV4_ADDRESS_LENGTH)}`
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return count < 2 ? text(0, 8) : `${text(0, start)}::${text(start + count, 8)}`
}

/** `ADDRESS/PREFIX`, or a bare address as a host route; throws RangeError. */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf('/')
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  const bits = address.length * 8
  if (slash < 0) return { address, prefix: bits }
  const digits = text.slice(slash + 1)
  const prefix = /^(0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Number.NaN
  if (!(prefix <= bits)) throw new RangeError(`not a prefix length of 0..${bits}: ${JSON.stringify(text)}`)
  return { address, prefix }
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.prefix}`
}

/** Whether `address` (same family) lies inside the network of `cidr`. */
export function contains(cidr: Cidr, address: Uint8Array): boolean {
  if (cidr.address.length !== address.length) return false
  const whole = cidr.prefix >> 3
  for (let i = 0; i < whole; i++) if (cidr.address[i] !== address[i]) return false
  const rest = cidr.prefix & 7
  return rest === 0 || ((cidr.address[whole]! ^ address[whole]!) & (0xff << (8 - rest)) & 0xff) === 0
}

/** Whether the two networks have an address in common. */
export function overlaps(one: Cidr, other: Cidr): boolean {
  return one.prefix <= other.prefix ? contains(one, other.address) : contains(other, one.address)
}

export function sameAddress(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const out = new Uint8Array(IPV4_ADDRESS_LENGTH)
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    out[i] = Number(part)
  }
  return out
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const left = groupsOf(halves[0]!, halves.length === 1)
  const right = halves.length === 2 ? groupsOf(halves[1]!, true) : []
  if (left === undefined || right === undefined) return undefined
  const missing = 8 - left.length - right.length
  // `::` stands for at least one group (RFC 4291 §2.2), and its absence for none.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const out = new Uint8Array(IPV6_ADDRESS_LENGTH)
  for (const [i, group] of [...left, ...new Array<number>(missing).fill(0), ...right].entries()) {
    out[2 * i] = group >> 8
    out[2 * i + 1] = group & 0xff
  }
  return out
}

/** The 16-bit groups of one side of `::`; a dotted quad may stand for the last two where the text ends there. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16))
    else {
      const quad = last && i === parts.length - 1 ? parseIpv4(part) : undefined
      if (quad === undefined) return undefined
      groups.push((quad[0]! << 8) | quad[1]!, (quad[2]! << 8) | quad[3]!)
    }
  }
  return groups
}

/** The first of the longest runs of zero groups (RFC 5952 §4.2.3). */
function longestZeroRun(groups: readonly number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 }
  for (let start = 0; start < groups.length; start++) {
    let count = 0
    while (groups[start + count] === 0) count++
    if (count > best.count) best = { start, count }
  }
  return best
}
