import type { Duration, Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, PeerEndpoint } from '#shared/tunnel/association.ts'
import type { AgentConfig } from './agent-config.ts'

/** The agent's way to its broker in the suite that it speaks: all that the agent core knows of suites. */
export interface Hub {
  readonly endpoint: PeerEndpoint
  /** What the broker is known by in this suite: a configuration with another one is of another broker. */
  brokerKey(config: AgentConfig): string
  /** Makes the association with the broker and begins the first handshake, which never stops asking. */
  join(config: AgentConfig, endpoint: Endpoint | undefined, now: Instant): Association
  /** Whether the broker, not we, began the session of the moment. */
  wasCalled(association: Association): boolean
  /** The age at which a session is re-made, traffic or none; undefined where the suite sees to it by itself. */
  readonly renewAfter: Duration | undefined
}
