import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { NetstackOptions } from '#shared/netstack/options.ts'
import type { Clock, Duration, Instant } from '#shared/time/instant.ts'
import type { EndpointPorts } from '#shared/tunnel/association.ts'
import type { Carrier, Endpoint } from '#shared/wire/endpoint.ts'
import type { DirectOptions } from './direct/direct-host.ts'
import type { Hub } from './hub.ts'
import type { KernelEnd } from './kernel-end.ts'
import type { PathHealth } from './path-health.ts'

export type AgentState = 'starting' | 'connecting' | 'up' | 'down'

export type AgentEvent =
  /** The tunnel carries data both ways: an authentic packet came from `endpoint`. */
  | { kind: 'up'; endpoint: Endpoint; handshakes: number }
  /** It does no longer; the search for the broker has begun. */
  | { kind: 'connecting'; why: 'start' | 'lapsed' | 'unanswered' | 'reconfigured' }
  | { kind: 'down' }
  /** The broker now answers from elsewhere: worth remembering for the next start, unless datagrams are carried there. */
  | { kind: 'roamed'; endpoint: Endpoint }
  /** What the path is good for has changed. */
  | { kind: 'health'; health: PathHealth }
  /** The NAT forgot us within the learned interval, which counts no more. */
  | { kind: 'binding-lost'; interval: Duration }
  /**
   * Nobody has answered for a minute. The owner asks the API for the last timestamp taken from our key and lifts its timestamp
   * floor above it (DESIGN D5), and fetches the configuration again, since keys or endpoints may have moved.
   */
  | { kind: 'ask-timestamp'; since: Duration }

/** The way in use. */
export interface AgentPath {
  readonly endpoint: Endpoint
  readonly carrier: 'udp' | Carrier
  /** Outer bytes, IP header included, that pass. */
  readonly mtu: number
  /** Inner bytes that pass. */
  readonly innerMtu: number
}

export interface AgentPorts {
  /** Sends an outer datagram. It is borrowed for the call, and must not be delivered to another core before the call returns. */
  send(datagram: Uint8Array, to: Endpoint): void
  /** Makes a new UDP socket on a new port. */
  rebind?(): void
  /** The next TAI64N, 12 bytes, above every one before it (`shared/tunnel/tai64n.ts`). */
  nextTimestamp(): Uint8Array
  /** The earliest deadline is now `at`: call `expire` then. Called when it became earlier, and after each `expire`. */
  wake(at: Instant): void
  event(event: AgentEvent): void
}

export interface AgentCoreOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly tunnelKey: KeyPair
  readonly ports: AgentPorts
  /** Makes the way to the broker in another suite than noise. */
  readonly hub?: (ports: EndpointPorts) => Hub
  /** The netstack's: memory of the simulator's many, and when to do the work of a burst (`setImmediate` in a shell). */
  readonly netstack?: Pick<NetstackOptions, 'limits' | 'defer'>
  /** The kernel's inner end, where there is a TUN. */
  readonly kernel?: KernelEnd
  /** Associations with other ends beside the one with the broker (DESIGN D6); none unless given. */
  readonly direct?: DirectOptions
}
