import { endpointHosts } from '#agent/doctor/broker-place.ts'
import type { ServiceFact } from '#agent/doctor/facts.ts'
import type { Identity } from '#agent/io/identity.ts'
import { proxyFinder } from '#agent/io/outer-proxy.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { buildTime } from '#shared/platform/version.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Patient } from './system-probes.ts'

interface Surroundings {
  readonly suite: Suite
  readonly clock: Clock
  readonly services?: readonly Pick<ServiceFact, 'name' | 'target'>[]
}

/** An agent with an identity, of either role: the state folder says where its broker is. */
export function enrolledPatient(identity: Identity, { suite, clock, services = [] }: Surroundings): Patient {
  const { record, folder, leaf } = identity
  return {
    suite,
    clock,
    api: record.api,
    endpoints: record.config?.broker.endpoints ?? [],
    streams: record.config?.broker.streams ?? [],
    stun: record.config?.broker.stun ?? [],
    known: record,
    trust: { roots: identity.roots },
    floor: identity.floors.time.floor,
    certificate: { notBefore: leaf.notBefore, notAfter: leaf.notAfter } as NonNullable<Patient['certificate']>,
    folder: folder.path,
    services,
    proxy: identity.proxy,
    admission: () => identity.api().timestamp(),
  }
}

/** A machine that is not enrolled: `HOST`, `HOST:PORT` of the API, or its URL, and the ports that a broker has by itself. */
export function strangerPatient(broker: string, { suite, clock, services = [] }: Surroundings): Patient {
  return {
    suite,
    clock,
    ...endpointHosts(broker),
    stun: [],
    known: {},
    floor: buildTime,
    services,
    proxy: proxyFinder(undefined),
  }
}
