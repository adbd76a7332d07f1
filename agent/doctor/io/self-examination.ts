import { diagnose } from '#agent/doctor/diagnose.ts'
import type { AgentFact, ServiceFact } from '#agent/doctor/facts.ts'
import { type SelfDiagnosis, summaryOf } from '#agent/doctor/report.ts'
import type { Identity } from '#agent/io/identity.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Clock } from '#shared/time/instant.ts'
import { readDisk } from './local-facts.ts'
import { enrolledPatient } from './patient.ts'
import { examineMachine } from './system-probes.ts'
import { reachTcp } from './tcp.ts'

interface Self {
  readonly suite: Suite
  readonly clock: Clock
  readonly identity: Identity
  readonly services: readonly Pick<ServiceFact, 'name' | 'target'>[]
  readonly agent: AgentFact
}

/** What the running agent finds out about itself, by the same questions as `adit-agent doctor`. */
export async function examineSelf({ identity, agent, ...rest }: Self): Promise<SelfDiagnosis> {
  return summaryOf(diagnose(await examineMachine({ ...enrolledPatient(identity, rest), agent: async () => agent })))
}

/** Services, disk and storage: no packet leaves this machine. */
export async function examineSelfHere({ identity, services, agent }: Self): Promise<SelfDiagnosis> {
  const reached = await Promise.all(services.map(async (service) => ({ ...service, reached: await reachTcp(service.target) })))
  const disk = await readDisk(identity.folder.path).catch(() => undefined)
  return summaryOf(diagnose({ services: reached, agent, ...(disk && { disk }) }))
}
