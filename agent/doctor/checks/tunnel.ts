import type { Evidence } from '../evidence.ts'
import type { AgentFact } from '../facts.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'

type Running = Extract<AgentFact, { kind: 'running' }>

/** Unanswered for so long, a tunnel is more than about to come up, seconds. */
const patienceSeconds = 10

/** What the running agent says of its tunnel, and whether it takes the best way. */
export function tunnel(evidence: Evidence): Finding[] {
  const { agent } = evidence.facts
  if (agent === undefined) return []
  if (agent.kind === 'not-running')
    return [
      warn(
        'agent-not-running',
        'No agent runs on this state folder.',
        'Start it: adit-agent run, or systemctl start adit-agent.',
      ),
    ]
  if (agent.tunnel === 'up') return up(agent, evidence)
  if (agent.refusal)
    return [broken(agent.refusal.code, `The tunnel's negotiation failed: ${agent.refusal.text}`, agent.refusal.mend)]
  if (!evidence.udpWorks && !evidence.streamWorks) return []
  if (agent.sinceSeconds < patienceSeconds)
    return [
      warn('tunnel-connecting', `The tunnel is ${agent.tunnel} since ${agent.sinceSeconds} s.`, 'Wait a moment, then ask again.'),
    ]
  const text = `The broker is reached, but answers none of the tunnel's handshakes for ${agent.sinceSeconds} s.`
  const mend =
    'Look at it from the other end (adit why DEVICE): this machine may be revoked, or another one may use a copy of its state folder.'
  return [broken('handshake-unanswered', text, mend)]
}

function up(agent: Running, evidence: Evidence): Finding[] {
  const carrier = agent.carrier ?? 'udp'
  const place = agent.endpoint === undefined ? '' : ` to ${agent.endpoint}`
  const line = ok('tunnel', `The tunnel is up (${agent.suite} over ${carrierWords[carrier] ?? carrier}${place}).`)
  if (agent.health === 'one-way')
    return [
      broken(
        'one-way',
        'The tunnel carries packets one way only.',
        'Wait half a minute: the agent takes a new port by itself; then look at the firewall on the way.',
      ),
      line,
    ]
  if (agent.health === 'control-only')
    return [
      broken(
        'control-only',
        'The tunnel answers, but carries no data.',
        'Wait half a minute: the agent repairs it by itself; then restart it.',
      ),
      line,
    ]
  if (carrier !== 'udp' && evidence.udpWorks)
    return [
      warn(
        'path-not-best',
        `The tunnel rides over ${carrierWords[carrier] ?? carrier} although UDP works.`,
        'Wait a minute: it climbs back by itself.',
      ),
      line,
    ]
  return [line]
}

const carrierWords: Readonly<Record<string, string>> = { udp: 'UDP', websocket: 'WebSocket', tcp: 'TCP' }
