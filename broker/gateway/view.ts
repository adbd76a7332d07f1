import type { PeerDrop } from '#broker/gateway/peer-drops.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'

/** What is known of a device's reachability. The age of the evidence always travels with the verdict (DESIGN D7). */
export interface Presence {
  /** `never`: no authentic packet of it has come in this broker's memory or records. */
  state: 'up' | 'down' | 'never'
  /** Wall-clock ms since when the state holds. */
  since?: number
  /** Wall-clock ms of the last authentic packet of any kind. */
  lastAuthentic?: number
  /** Wall-clock ms of the last datagram from the known endpoint, of any kind: a hint, which nobody has authenticated. */
  lastHint?: number
  /** How often the device says that it shows a sign of life while it is idle. */
  paceSeconds?: number
  /** Where its datagrams come from, "address:port" or "[address]:port". */
  endpoint?: string
  /** The suite in which it was heard last. */
  suite?: SuiteName
}

/** What the API, the metrics and the command line see of the gateway. */
export interface GatewayView {
  presence(principal: Principal): Presence
  /** What of the principal's packets, or of those to it, went no further, as far as that is known. */
  drops(principal: Principal): readonly PeerDrop[]
  /** Asks the device for an authentic answer through its tunnel; false where none came in `timeoutMs`. */
  probe(principal: Principal, timeoutMs: number): Promise<boolean>
  /** Somebody looks at these principals: within 15 s what is said of them rests on proofs (DESIGN D7). */
  watch(principals: Iterable<Principal>): void
  /** The last TAI64N (12 bytes) that was taken from this tunnel key, if any. */
  lastTimestamp(tunnelKeyHex: string): Uint8Array | undefined
  counters(): GatewayCounters
  /** The broker's inner addresses. */
  readonly inner: readonly string[]
  /** The UDP endpoint that is listened on, "address:port". */
  readonly listen: string
  /** Those that answer STUN besides, likewise (RFC 5780). */
  readonly stunEndpoints: readonly string[]
}

/** Whole numbers since the start, or (streams, sessions, halfOpen, associations, flows, mqttClients) at this moment. */
export interface GatewayCounters {
  /** Devices and operators with a live session. */
  sessions: number
  /** Those of them in the esp suite. */
  espSessions: number
  /** IKE SAs whose peers have not proven who they are. */
  halfOpen: number
  failedNegotiations: number
  associations: number
  flows: number
  mqttClients: number
  /** Datagrams, of both threads where there are two. */
  outerReceived: number
  outerSent: number
  stunAnswered: number
  /** WebSockets and TCP connections that bear datagrams. */
  streams: number
  handshakes: number
  readings: number
  duplicateReadings: number
  /** Packets by label of shared/drop-reason.ts, and what MQTT, STUN and the audit log refused; only those above zero. */
  drops: Record<string, number>
}
