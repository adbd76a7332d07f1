import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, PeerEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import type { AgentConfig } from './agent-config.ts'

export type EstablishedEvent = Extract<TunnelEvent, { kind: 'established' }>

/** The agent's way to its broker in the suite that it speaks: all that the agent core knows of suites. */
export interface Hub {
  readonly endpoint: PeerEndpoint
  /** What the broker is known by in this suite: a configuration with another one is of another broker. */
  brokerKey(config: AgentConfig): string
  /** Makes the association with the broker and begins the first handshake, which never stops asking. */
  join(config: AgentConfig, endpoint: Endpoint | undefined, now: Instant): Association
  /** Whether the broker may have been restarted before this session: then it knows no stream of ours. */
  mayBeNew(event: EstablishedEvent): boolean
  /** The age at which a session is re-made, traffic or none; undefined where the suite sees to it by itself. */
  readonly renewAfter: Duration | undefined
}
