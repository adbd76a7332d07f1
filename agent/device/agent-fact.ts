import type { AgentFact, NatFact } from '#agent/doctor/facts.ts'
import type { DeviceStatus } from './status.ts'

/** What the running agent's status says to a doctor. */
export function agentFactOf({ tunnel, storage }: DeviceStatus): Extract<AgentFact, { kind: 'running' }> {
  const { state, sinceSeconds, suite, endpoint, nat64, carrier, evidenceAgeSeconds, health, refusal } = tunnel
  return {
    kind: 'running',
    tunnel: state,
    sinceSeconds,
    suite: suite ?? 'noise',
    ...(endpoint !== null && { endpoint }),
    ...(nat64 !== null && { nat64 }),
    ...(carrier !== null && { carrier }),
    ...(health && { health: health.state }),
    ...(refusal && { refusal }),
    ...(evidenceAgeSeconds !== null && { evidenceAgeSeconds }),
    storage: {
      state: storage.state,
      ...(storage.error !== null && { error: storage.error }),
      ...(storage.outbox && { waiting: storage.outbox.rows, dropped: storage.outbox.shed }),
    },
  }
}

/** What the agent has learned of the network that it is in. */
export function learnedOf({ data }: DeviceStatus): Pick<NatFact, 'lifetimeSeconds' | 'keepaliveSeconds'> {
  return {
    ...(data.lifetimeSeconds !== null && { lifetimeSeconds: data.lifetimeSeconds }),
    ...(data.keepaliveSeconds !== null && { keepaliveSeconds: data.keepaliveSeconds }),
  }
}
