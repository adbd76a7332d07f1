import { compareBytes } from '#shared/bytes/compare.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import type { Cidr } from '#shared/wire/ip-address.ts'

/**
 * Traffic selectors and their narrowing (RFC 7296 §2.9, §3.13). A selector is a range of addresses of one family, a protocol (0: any)
 * and a range of ports, all ends inclusive; a list of them means any of its members. Ports 65535..0 are OPAQUE: packets whose ports
 * cannot be seen, such as later fragments (RFC 4301 §4.4.1.1); 0..65535 is any port, and holds OPAQUE too. For ICMP a port is type * 256
 * + code (§3.13.1).
 */
export const anyPort = { startPort: 0, endPort: 65_535 } as const
export const opaquePort = { startPort: 65_535, endPort: 0 } as const

/** Selectors in one payload at most: its count is one byte. */
export const selectorLimit = 255

/** All traffic of the network. Host bits of its address are cut. */
export function fromCidr({ address, prefix }: Cidr): TrafficSelector {
  const start = new Uint8Array(address.length)
  const end = new Uint8Array(address.length)
  for (let i = 0; i < address.length; i++) {
    const network = 0xff & ~(0xff >> Math.min(8, Math.max(0, prefix - i * 8)))
    start[i] = address[i]! & network
    end[i] = address[i]! | (0xff & ~network)
  }
  return { protocol: 0, ...anyPort, start, end }
}

/** All traffic of one address of 4 or 16 bytes. */
export const fromAddress = (address: Uint8Array): TrafficSelector => fromCidr({ address, prefix: address.length * 8 })

/** What both admit; undefined where that is nothing. */
export function intersect(a: TrafficSelector, b: TrafficSelector): TrafficSelector | undefined {
  if (a.start.length !== b.start.length) return undefined
  if (a.protocol !== b.protocol && a.protocol !== 0 && b.protocol !== 0) return undefined
  const ports = intersectPorts(a, b)
  const start = compareBytes(a.start, b.start) >= 0 ? a.start : b.start
  const end = compareBytes(a.end, b.end) <= 0 ? a.end : b.end
  if (ports === undefined || compareBytes(start, end) > 0) return undefined
  return { protocol: a.protocol === 0 ? b.protocol : a.protocol, ...ports, start, end }
}

type Ports = Pick<TrafficSelector, 'startPort' | 'endPort'>

function intersectPorts(a: Ports, b: Ports): Ports | undefined {
  if (isAnyPort(a)) return { startPort: b.startPort, endPort: b.endPort }
  if (isAnyPort(b)) return { startPort: a.startPort, endPort: a.endPort }
  if (isOpaque(a) || isOpaque(b)) return isOpaque(a) && isOpaque(b) ? { ...opaquePort } : undefined
  const startPort = Math.max(a.startPort, b.startPort)
  const endPort = Math.min(a.endPort, b.endPort)
  return startPort <= endPort ? { startPort, endPort } : undefined
}

const isAnyPort = (ports: Ports): boolean => ports.startPort === 0 && ports.endPort === 65_535
const isOpaque = (ports: Ports): boolean => ports.startPort === 65_535 && ports.endPort === 0

export const sameSelector = (a: TrafficSelector, b: TrafficSelector): boolean =>
  a.protocol === b.protocol &&
  a.startPort === b.startPort &&
  a.endPort === b.endPort &&
  equalPublic(a.start, b.start) &&
  equalPublic(a.end, b.end)

/** Whether all that `inner` admits, `outer` admits. Makes no object: narrowing asks it for every pair of members. */
export const contains = (outer: TrafficSelector, inner: TrafficSelector): boolean =>
  outer.start.length === inner.start.length &&
  (outer.protocol === 0 || outer.protocol === inner.protocol) &&
  containsPorts(outer, inner) &&
  compareBytes(outer.start, inner.start) <= 0 &&
  compareBytes(outer.end, inner.end) >= 0

function containsPorts(outer: Ports, inner: Ports): boolean {
  if (isAnyPort(outer)) return true
  if (isOpaque(outer) || isOpaque(inner)) return isOpaque(outer) && isOpaque(inner)
  return outer.startPort <= inner.startPort && outer.endPort >= inner.endPort
}

/**
 * What of the offered selectors is allowed, in the offerer's order: the first of them, which an initiator makes from the packet that
 * woke it (§2.9), stays first or lies in a wider one that is kept. Members that another one holds wholly are left out. Empty: nothing
 * is allowed, the answer is TS_UNACCEPTABLE.
 */
export function narrow(offered: readonly TrafficSelector[], allowed: readonly TrafficSelector[]): TrafficSelector[] {
  const found: TrafficSelector[] = []
  for (const offer of offered) {
    for (const allow of allowed) {
      const both = intersect(offer, allow)
      if (both === undefined || found.some((kept) => contains(kept, both))) continue
      // A wider one takes the place of the first of those that it swallows, so that the specific first offer keeps its rank.
      const swallowed = found.findIndex((kept) => contains(both, kept))
      if (swallowed >= 0) found[swallowed] = both
      else if (found.length < selectorLimit) found.push(both)
      for (let i = found.length - 1; i > swallowed && swallowed >= 0; i--) if (contains(both, found[i]!)) found.splice(i, 1)
    }
  }
  return found
}

/** Both sides of a Child SA as one end sees it. */
export interface SelectorPair {
  readonly local: readonly TrafficSelector[]
  readonly remote: readonly TrafficSelector[]
}

/** Of a Child SA, or of what policy says of one. */
export const pairOf = ({
  localSelectors: local,
  remoteSelectors: remote,
}: {
  readonly localSelectors: readonly TrafficSelector[]
  readonly remoteSelectors: readonly TrafficSelector[]
}): SelectorPair => ({ local, remote })

/**
 * Narrows both sides together: a selector whose address family or protocol has no counterpart on the other side admits no packet and is
 * left out. Undefined: TS_UNACCEPTABLE.
 */
export function narrowPair(offered: SelectorPair, allowed: SelectorPair): SelectorPair | undefined {
  const local = narrow(offered.local, allowed.local)
  const remote = narrow(offered.remote, allowed.remote)
  const pair = {
    local: local.filter((selector) => remote.some((other) => mayMeet(selector, other))),
    remote: remote.filter((selector) => local.some((other) => mayMeet(selector, other))),
  }
  return pair.local.length > 0 && pair.remote.length > 0 ? pair : undefined
}

const mayMeet = (a: TrafficSelector, b: TrafficSelector): boolean =>
  a.start.length === b.start.length && (a.protocol === b.protocol || a.protocol === 0 || b.protocol === 0)

/** Whether a responder's answer only narrows what was proposed, as it must (§2.9). */
export const isNarrowed = (answer: SelectorPair, proposed: SelectorPair): boolean =>
  isWithin(answer.local, proposed.local) && isWithin(answer.remote, proposed.remote)

/** Each of `inner`, which has at least one, lies wholly in one of `outer`. */
export const isWithin = (inner: readonly TrafficSelector[], outer: readonly TrafficSelector[]): boolean =>
  inner.length > 0 && inner.every((one) => outer.some((other) => contains(other, one)))

/** What to ask for after SINGLE_PAIR_REQUIRED (§2.9.1): the first selector of each side that can meet; undefined if none can. */
export function singlePair(proposed: SelectorPair): SelectorPair | undefined {
  for (const local of proposed.local) {
    const remote = proposed.remote.find((selector) => mayMeet(local, selector))
    if (remote !== undefined) return { local: [local], remote: [remote] }
  }
  return undefined
}

/** Whether any address stands in both lists: sites are exclusive, so an overlap is refused. */
export const overlap = (a: readonly TrafficSelector[], b: readonly TrafficSelector[]): boolean =>
  a.some((one) =>
    b.some((other) => intersect({ ...one, protocol: 0, ...anyPort }, { ...other, protocol: 0, ...anyPort }) !== undefined),
  )

/**
 * Data lane: whether the address `bytes[at..at + length]` with that protocol and port stands in the list; makes no object. `port`: -1
 * where it cannot be seen; for ICMP type * 256 + code.
 */
export function covers(
  selectors: readonly TrafficSelector[],
  bytes: Uint8Array,
  at: number,
  length: number,
  protocol: number,
  port: number,
): boolean {
  for (let i = 0; i < selectors.length; i++) {
    const selector = selectors[i]!
    if (selector.protocol !== 0 && selector.protocol !== protocol) continue
    if (selector.start.length === length && coversPort(selector, port) && inRange(selector, bytes, at, length)) return true
  }
  return false
}

/** Data lane: the same by address alone. */
export function coversAddress(selectors: readonly TrafficSelector[], bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = 0; i < selectors.length; i++) {
    const selector = selectors[i]!
    if (selector.start.length === length && inRange(selector, bytes, at, length)) return true
  }
  return false
}

function coversPort(ports: Ports, port: number): boolean {
  if (isAnyPort(ports)) return true
  return port < 0 ? isOpaque(ports) : port >= ports.startPort && port <= ports.endPort
}

function inRange({ start, end }: TrafficSelector, bytes: Uint8Array, at: number, length: number): boolean {
  let above = false
  let below = false
  for (let i = 0; i < length && !(above && below); i++) {
    const byte = bytes[at + i]!
    if (!above && byte < start[i]!) return false
    if (!below && byte > end[i]!) return false
    if (byte > start[i]!) above = true
    if (byte < end[i]!) below = true
  }
  return true
}
