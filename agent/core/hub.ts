import type { Instant } from '#shared/time/instant.ts'
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
  /** Whether an idle session may end without a word, since whoever has something to say makes the next one (DESIGN D7). */
  readonly lapses: boolean
  /** Largest inner packet that fits an outer UDP payload of `bytes`, and the least payload that holds an inner packet of `bytes`. */
  innerRoom(bytes: number): number
  outerLength(bytes: number): number
}
