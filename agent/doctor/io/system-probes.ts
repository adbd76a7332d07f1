import { splitHostPort } from '#agent/core/agent-config.ts'
import type { Probes, Subject } from '#agent/doctor/examination.ts'
import { examine } from '#agent/doctor/examination.ts'
import type { AgentFact, Facts, NatFact } from '#agent/doctor/facts.ts'
import { addressesOf, type KnownAddresses } from '#agent/io/endpoint-resolver.ts'
import type { FindProxy } from '#agent/io/outer-proxy.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import type { Trust } from '#shared/pki/server-trust.ts'
import { machineNat64 } from '#shared/platform/nat64.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { isIpv4 } from '#shared/wire/ip-address.ts'
import { probeDoor } from './door-probe.ts'
import { readDisk, readInterfaces, readRoutes } from './local-facts.ts'
import { probeName } from './name-probe.ts'
import { probeNat } from './nat-probe.ts'
import { probePlainHttp } from './portal-probe.ts'
import { probeProxy } from './proxy-probe.ts'
import { reachTcp } from './tcp.ts'
import { probeUdp } from './udp-probe.ts'

/** Whom the real machine's examination is about, and what it may use. */
export interface Patient extends Omit<Subject, 'known'> {
  readonly suite: Suite
  readonly trust?: Trust
  readonly clock: Clock
  readonly floor: WallTime
  readonly known: KnownAddresses
  readonly certificate?: Facts['certificate']
  /** Where room is needed. */
  readonly folder?: string
  /** As the tunnel's streams find theirs. */
  readonly proxy: FindProxy
  /** Asks the API something under our certificate, which only the proven broker sees; rejects with its refusal. */
  admission?(): Promise<unknown>
  agent?(): Promise<AgentFact | undefined>
  /** What the running agent has learned of this network's NAT. */
  readonly learned?: Pick<NatFact, 'lifetimeSeconds' | 'keepaliveSeconds'>
}

/** Examines this machine with sockets of its own: whatever runs here keeps its session. */
export function examineMachine(patient: Patient): Promise<Facts> {
  const { known, ...subject } = patient
  return examine({ ...subject, known: (host) => addressesOf(host, known) }, probesOf(patient))
}

function probesOf(patient: Patient): Probes {
  const { suite, trust, floor, proxy, folder } = patient
  const judge = { suite, trust, floor }
  return {
    resolve: probeName,
    nat64: async (addresses) => {
      const ipv4 = addresses.find(isIpv4)
      return ipv4 === undefined ? undefined : machineNat64.look(ipv4)
    },
    udp: probeUdp,
    async door(door) {
      const direct = await probeDoor(door, judge)
      const { port } = door.endpoint
      const found = proxy(door.host, port)
      if (found === undefined || direct.reached === 'open') return direct
      const { socket } = await probeProxy(found, endpointText({ address: door.host, port }))
      return socket === undefined ? direct : probeDoor(door, judge, socket)
    },
    plainHttp: probePlainHttp,
    async proxy(target) {
      const place = splitHostPort(target)
      const found = place && proxy(place.address, place.port)
      if (found === undefined) return undefined
      const { fact, socket } = await probeProxy(found, target)
      socket?.destroy()
      return fact
    },
    service: reachTcp,
    interfaces: readInterfaces,
    routes: readRoutes,
    clock: async () => ({ wall: patient.clock.wall(), floor }),
    certificate: async () => patient.certificate,
    admission: () => admissionOf(patient),
    agent: async () => patient.agent?.(),
    nat: (servers) =>
      servers.length === 0 ? nothing : probeNat({ suite, clock: patient.clock, servers, learned: patient.learned ?? {} }),
    disk: async () => (folder === undefined ? undefined : readDisk(folder)),
  }
}

const nothing = Promise.resolve(undefined)

const refusals = new Set(['certificate-refused', 'revoked', 'forbidden'])

async function admissionOf({ admission }: Patient): Promise<Facts['admission']> {
  if (admission === undefined) return undefined
  try {
    await admission()
    return { kind: 'admitted' }
  } catch (error) {
    // Our own refusal of a server is a matter of its certificate, and was seen by the doors.
    if (!isAditError(error) || !refusals.has(error.code) || error.cause !== undefined) return undefined
    return { kind: 'refused', code: error.code, text: error.message }
  }
}
