import { diagnose } from '#agent/doctor/diagnose.ts'
import type { AgentFact } from '#agent/doctor/facts.ts'
import type { Diagnosis } from '#agent/doctor/finding.ts'
import { enrolledPatient, strangerPatient } from '#agent/doctor/io/patient.ts'
import { examineMachine } from '#agent/doctor/io/system-probes.ts'
import { openOperator } from '#agent/operator/io/operator-identity.ts'
import type { TunnelClient } from '#agent/operator/io/tunnel-client.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'

/** The doctor on the operator's own machine; with `broker` before anybody has logged in. */
export async function diagnoseOperator(folder: string, tunnel: TunnelClient, broker?: string): Promise<Diagnosis> {
  const surroundings = { suite: nativeSuite, clock: systemClock }
  if (broker !== undefined) return diagnose(await examineMachine(strangerPatient(broker, surroundings)))
  const patient = enrolledPatient(await openOperator(folder), surroundings)
  return diagnose(await examineMachine({ ...patient, agent: () => tunnelFact(tunnel) }))
}

/** What the tunnel process says of itself. Where none runs, nothing is wrong: the next command starts one. */
async function tunnelFact(tunnel: TunnelClient): Promise<AgentFact | undefined> {
  const status = await tunnel.requestIfRunning({ op: 'status' }).catch(() => undefined)
  if (status === undefined) return undefined
  const { state, endpoint, sinceSeconds, carrier, suite, evidenceAgeSeconds } = status
  const health = status.health as { state?: unknown } | undefined
  return {
    kind: 'running',
    tunnel: String(state),
    sinceSeconds: typeof sinceSeconds === 'number' ? sinceSeconds : 0,
    suite: suite === 'esp' ? 'esp' : 'noise',
    ...(typeof endpoint === 'string' && { endpoint }),
    ...(typeof carrier === 'string' && { carrier }),
    ...(typeof health?.state === 'string' && { health: health.state }),
    ...(typeof evidenceAgeSeconds === 'number' && { evidenceAgeSeconds }),
  }
}
