import { type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'
import { isUnfitForProbes } from './unfit-address.ts'

/**
 * A place where an end may be reached without the hub (RFC 8445 §5.1.1): an address of its own, a port that its gateway maps for it
 * (PCP, NAT-PMP), the address that STUN saw, or one that only its packets showed. The overlay is the way through the hub itself.
 */
export type CandidateKind = 'host' | 'mapped' | 'peer-reflexive' | 'reflexive' | 'overlay'

export interface Candidate {
  readonly kind: CandidateKind
  readonly endpoint: Endpoint
}

/** As RFC 8445 §5.1.2.2 recommends; mapped ports stand between, since nothing but the gateway has to agree to them. */
const typePreference: Readonly<Record<CandidateKind, number>> = {
  host: 126,
  mapped: 118,
  'peer-reflexive': 110,
  reflexive: 100,
  overlay: 0,
}

/** RFC 8445 §5.1.2.1 with one component: 2^24 type + 2^8 local + 255. IPv6 before IPv4, since it is rarely translated. */
export const priorityOf = ({ kind, endpoint }: Candidate): number =>
  typePreference[kind] * 2 ** 24 + (endpoint.address.includes(':') ? 65_535 : 65_534) * 2 ** 8 + 255

/** How many of one end are told and taken. */
export const CANDIDATE_LIMIT = 12

/** Wire form: an array of `[kind, address bstr (4 or 16 bytes), port]`. Kinds are numbers, so that others can be skipped. */
const kinds: readonly CandidateKind[] = ['host', 'mapped', 'reflexive']

/** Only what another end may be told; the best first, no place twice. */
export function candidatesValue(candidates: readonly Candidate[]): CborValue {
  return bestFirst(candidates)
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, endpoint }) => [kinds.indexOf(kind), tryParseAddress(endpoint.address) ?? new Uint8Array(), endpoint.port])
}

/** What another end told: what may not be probed, and what is no candidate, is left out. Never throws. */
export function readCandidates(value: CborValue): Candidate[] {
  if (!Array.isArray(value)) return []
  return bestFirst(value.slice(0, 4 * CANDIDATE_LIMIT).flatMap((item) => readCandidate(item) ?? []))
}

/** For a file: the same form, encoded. */
export const encodeCandidates = (candidates: readonly Candidate[]): Uint8Array => encodeCanonicalCbor(candidatesValue(candidates))

/** Throws CborError where the bytes are no CBOR. */
export const decodeCandidates = (bytes: Uint8Array): Candidate[] =>
  readCandidates(decodeCbor(bytes, { bytes: 1024, depth: 3, items: 256 }))

/** Whether datagrams may be sent there on another's word: our sockets have neither reserved ports nor such addresses. */
export function mayBeProbed(endpoint: Endpoint): boolean {
  if (isCarried(endpoint) || endpoint.port < 1024 || endpoint.port > 65_535) return false
  const address = tryParseAddress(endpoint.address)
  return address !== undefined && !isUnfitForProbes(address)
}

function readCandidate(item: CborValue): Candidate | undefined {
  if (!Array.isArray(item)) return undefined
  const [number, address, port] = item as CborValue[]
  const kind = typeof number === 'number' ? kinds[number] : undefined
  if (kind === undefined || !(address instanceof Uint8Array) || typeof port !== 'number' || !Number.isInteger(port))
    return undefined
  if (address.length !== 4 && address.length !== 16) return undefined
  const endpoint = { address: formatAddress(address), port }
  return mayBeProbed(endpoint) ? { kind, endpoint } : undefined
}

function bestFirst(candidates: readonly Candidate[]): Candidate[] {
  const sorted = [...candidates].sort((a, b) => priorityOf(b) - priorityOf(a))
  return sorted
    .filter((one, at) => sorted.findIndex((other) => sameEndpoint(one.endpoint, other.endpoint)) === at)
    .slice(0, CANDIDATE_LIMIT)
}
