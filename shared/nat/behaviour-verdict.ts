import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'

/** On what a mapping (RFC 4787 §4.1) or a filter (§5) depends. */
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

/** Where one socket was seen from one place. */
export interface Seen {
  readonly at: Endpoint
  readonly mapped: StunAddress
}

const every: readonly Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent']

/**
 * The kinds of mapping that fit what was seen (RFC 5780 §4.3), in rising order of dependence. Mappings that a kind calls different must
 * differ, and those that it calls one must be the same; where no kind fits, the NAT keeps no order at all, which is the last kind.
 */
export function mappingKinds(seen: readonly Seen[]): readonly Dependence[] {
  const pairs = seen.flatMap((a, i) => seen.slice(i + 1).map((b) => [a, b] as const))
  const fits = every.filter((kind) =>
    pairs.every(([a, b]) => isOneMapping(kind, a.at, b.at) === sameEndpoint(a.mapped, b.mapped)),
  )
  return fits.length > 0 ? fits : ['address-and-port-dependent']
}

function isOneMapping(kind: Dependence, a: Endpoint, b: Endpoint): boolean {
  if (kind === 'endpoint-independent') return true
  return a.address === b.address && (kind === 'address-dependent' || a.port === b.port)
}

/**
 * The kinds of filter that fit (RFC 5780 §4.4): whether an answer came from another address and port, and whether one came from the asked
 * address and another port; undefined where no server would send such a one.
 */
export function filteringKinds(fromElsewhere: boolean | undefined, fromOtherPort: boolean | undefined): readonly Dependence[] {
  return every.filter((kind) => {
    if (fromElsewhere !== undefined && fromElsewhere !== (kind === 'endpoint-independent')) return false
    // Who lets in anybody may still have lost this one answer.
    if (fromOtherPort === undefined || fromElsewhere === true) return true
    return fromOtherPort === (kind !== 'address-and-port-dependent')
  })
}
