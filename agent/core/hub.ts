import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, PeerEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import type { AgentConfig } from './agent-config.ts'

/**
 * Whether the broker remembers our streams after a handshake: `kept`, it knew the session before this one; `unsure`, it answered us as one
 * that was restarted would have answered too; `doubtful`, it did what one does that knows no session of ours.
 */
export type BrokerMemory = 'kept' | 'unsure' | 'doubtful'

export type EstablishedEvent = Extract<TunnelEvent, { kind: 'established' }>

/** The agent's way to its broker in the suite that it speaks: all that the agent core knows of suites. */
export interface Hub {
  readonly endpoint: PeerEndpoint
  /** What the broker is known by in this suite: a configuration with another one is of another broker. */
  brokerKey(config: AgentConfig): string
  /** Makes the association with the broker and begins the first handshake, which never stops asking. */
  join(config: AgentConfig, endpoint: Endpoint | undefined, now: Instant): Association
  /** What a new session says of the broker's memory. */
  memory(event: EstablishedEvent): BrokerMemory
  /** Whether an idle session may end without a word, since whoever has something to say makes the next one (DESIGN D7). */
  readonly lapses: boolean
  /** How long the last handshake that we began took to be answered; where the suite measures it. */
  roundTrip?(association: Association): Duration | undefined
  /** Largest inner packet that fits an outer UDP payload of `bytes`, and the least payload that holds an inner packet of `bytes`. */
  innerRoom(bytes: number): number
  outerLength(bytes: number): number
}
