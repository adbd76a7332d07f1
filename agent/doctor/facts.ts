import type { ErrorCode } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

/**
 * What an examination has seen, before anybody judges it. Every field may be missing: a probe may have failed, or not have been made. No
 * conclusion is drawn here; `diagnose.ts` draws them.
 */
export interface Facts {
  /** This machine's clock, and the time below which it cannot be (DESIGN D5). */
  readonly clock?: { readonly wall: WallTime; readonly floor: WallTime }
  readonly interfaces?: readonly InterfaceFact[]
  readonly routes?: RouteFacts
  readonly names?: readonly NameFact[]
  /**
   * The network has no IPv4: by which prefixes its NAT64 is to lead there, and how they are known (`Nat64View`). Every IPv4 address of the other
   * facts is then what it gives.
   */
  readonly nat64?: { readonly how: 'discovered' | 'remembered' | 'guessed'; readonly prefixes: readonly string[] }
  /** Each address of the broker's tunnel port. */
  readonly udp?: readonly UdpFact[]
  /** Each address of the broker's API. */
  readonly api?: readonly DoorFact[]
  /** Each address of the broker's WebSocket. */
  readonly streams?: readonly DoorFact[]
  /** What answers plain HTTP at the broker's API host, port 80. */
  readonly plainHttp?: readonly PlainHttpFact[]
  readonly proxy?: ProxyFact
  readonly certificate?: { readonly notBefore: WallTime; readonly notAfter: WallTime }
  /** What the API says to us under our certificate. */
  readonly admission?:
    | { readonly kind: 'admitted' }
    | { readonly kind: 'refused'; readonly code: ErrorCode; readonly text: string }
  readonly nat?: NatFact
  readonly agent?: AgentFact
  readonly services?: readonly ServiceFact[]
  readonly disk?: { readonly freeBytes: number; readonly path: string }
}

export type Family = 'IPv4' | 'IPv6'

export interface InterfaceFact {
  readonly name: string
  /** Whether it has a link. */
  readonly up: boolean
  /** Other than loopback and link-local. */
  readonly addresses: readonly string[]
}

export interface RouteFacts {
  /** Whether there is a default route, or one to the broker itself. */
  readonly ipv4: boolean
  readonly ipv6: boolean
  /** The next hop of the IPv4 default route, as the neighbour table has it after the other probes. */
  readonly gateway?: { readonly address: string; readonly answers: boolean }
}

export interface NameFact {
  readonly host: string
  readonly outcome: 'answered' | 'not-found' | 'failed' | 'silent'
  readonly tookMs: number
  /** What DNS says. */
  readonly addresses: readonly string[]
  /** What is remembered, from the claim or from earlier. */
  readonly known: readonly string[]
}

/** What came of a TCP connection, or of a datagram: `refused` by a word of the other end, `unreachable` by a word of our own system or a router. */
export type Reached = 'open' | 'refused' | 'silent' | 'unreachable'

/** One address of the tunnel's UDP port, asked by STUN from a socket of the examination's own. */
export interface UdpFact {
  readonly endpoint: Endpoint
  /** Small questions. */
  readonly sent: number
  readonly answered: number
  /** Somebody said that nobody listens there. */
  readonly refused: boolean
  /** Our own system has no way there. */
  readonly unreachable: boolean
  readonly roundTripMs?: number
  /** Where we come from, as the broker sees it. */
  readonly mapped?: Endpoint
  /** Larger questions, by the length of their IP packet in bytes, none of which may be fragmented. */
  readonly sizes: readonly { readonly bytes: number; readonly answered: boolean }[]
}

export type TlsFact =
  | { readonly kind: 'proven' }
  /** A chain that does not lead to the fleet's root. */
  | { readonly kind: 'other-issuer'; readonly issuer: string }
  /** Our root, but the certificate does not serve. */
  | { readonly kind: 'unusable'; readonly why: string }
  /** No root is known yet. */
  | { readonly kind: 'unjudged'; readonly issuer: string }
  /** Connected, and then nothing. */
  | { readonly kind: 'stalled' }
  /** Connected, and then cut or answered by something that is no TLS. */
  | { readonly kind: 'no-tls' }

/** One address of an HTTPS server. */
export interface DoorFact {
  readonly host: string
  readonly endpoint: Endpoint
  readonly reached: Reached
  /** Through the proxy, not directly. */
  readonly proxied?: boolean
  readonly tls?: TlsFact
  /** HTTP status, where one came. For a WebSocket 101. */
  readonly status?: number
  /** The Date header, where the server was proven. */
  readonly date?: WallTime
}

export interface PlainHttpFact {
  readonly endpoint: Endpoint
  readonly reached: Reached
  readonly status?: number
  /** Host of the Location header. */
  readonly redirectedTo?: string
}

export interface ProxyFact {
  /** Without a password. */
  readonly address: string
  readonly from: string
  readonly reached: Reached
  /** What it says to CONNECT; undefined where it says nothing. */
  readonly status?: number
}

export interface NatFact {
  /** RFC 4787 §4.1. */
  readonly mapping: 'none' | 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent' | 'unknown'
  /** Seconds after which a mapping without traffic is gone. */
  readonly lifetimeSeconds?: number
  /** Seconds between two keepalives. */
  readonly keepaliveSeconds?: number
}

/** What the running agent, or the operator's tunnel process, says of itself. */
export type AgentFact =
  | { readonly kind: 'not-running' }
  | {
      readonly kind: 'running'
      readonly tunnel: string
      readonly sinceSeconds: number
      readonly suite: SuiteName
      readonly carrier?: string
      readonly endpoint?: string
      /** The prefix of the NAT64 that leads there. */
      readonly nat64?: string
      /** Of the last authentic packet. */
      readonly evidenceAgeSeconds?: number
      /** `one-way`, `small-packets-only`, `control-only` … */
      readonly health?: string
      /** Why the last negotiation of the tunnel's suite came to nothing. */
      readonly refusal?: { readonly code: string; readonly text: string; readonly mend: string }
      readonly storage?: { readonly state: string; readonly error?: string; readonly waiting?: number; readonly dropped?: number }
    }

export interface ServiceFact {
  readonly name: string
  readonly target: Endpoint
  readonly reached: Reached
}
