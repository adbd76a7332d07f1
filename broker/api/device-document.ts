import { z } from 'zod'
import type { GatewayView, Presence } from '#broker/gateway/view.ts'
import type { HostKeys } from '#broker/registry/host-keys.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { dataModes } from '#shared/nat/data-budget.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { suiteNames } from '#shared/tunnel/association.ts'

export const hostKeysDocument = z.object({
  keys: z.array(z.string()).describe('pinned OpenSSH public key lines: TYPE BASE64'),
  changed: z.array(z.string()).nullable().describe('keys that the service shows now, where they differ from the pinned ones'),
})

/** A device as operators see it. */
export const deviceDocument = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(['up', 'down', 'never', 'revoked']),
  since: z.iso.datetime().nullable().describe('when the state began; null where the device was never heard'),
  evidenceAgeSeconds: z.number().nullable().describe('age of the last authentic packet'),
  keepaliveAgeSeconds: z
    .number()
    .nullable()
    .describe('age of the last datagram from its known endpoint: a hint, which keeps a state up and never makes it so'),
  addresses: z.array(z.string()).describe('inside the tunnel'),
  tags: z.array(z.string()),
  hostKeys: z.record(z.string(), hostKeysDocument).describe('by service, for instance ssh'),
  suite: z.enum(suiteNames).describe('in which it was heard last, or is to be'),
  endpoint: z.string().nullable().describe('where its datagrams come from'),
  ports: z
    .array(z.object({ from: z.number().int(), to: z.number().int() }))
    .describe('ranges of ports, both ends in them, that grants of the asker open there now'),
  data: z
    .object({
      mode: z.enum(dataModes).describe('on-demand: asleep between polls'),
      monthlyMegabytes: z.number().nullable().describe('budget of an idle tunnel, 10^6 bytes in 30 days'),
      paceSeconds: z.number().nullable().describe('how often it shows a sign of life while it is idle, as it says itself'),
      wakeSeconds: z.number().describe('how long a call may have to wait for it: 0, or until its next poll'),
      todayBytes: z.number().describe('at the interface, with IP and UDP headers, both directions; days are of UTC'),
      monthBytes: z.number(),
      projectedMonthBytes: z.number().nullable().describe('in 30 days at the rate of this month'),
      estimatedBytes: z.number().describe('part of monthBytes whose headers are estimated: streams'),
    })
    .describe('what its tunnel costs'),
  stock: z.boolean().describe('a plain WireGuard or IPsec peer, without our agent'),
  tunnelKey: z.string().nullable().describe('X25519 public key, base64'),
  statements: z
    .array(z.string())
    .optional()
    .describe('of one device asked for by name: what the fleet key says of it and its host keys, COSE_Sign1 in base64'),
})

export type DeviceDocument = z.infer<typeof deviceDocument>
type HostKeysDocument = z.infer<typeof hostKeysDocument>

interface Sources {
  registry: Pick<Registry, 'hostKeys' | 'policy' | 'dataUse'>
  gateway: Pick<GatewayView, 'presence'>
}

/** `asker`: the operator for whom the device is described. */
export async function describeDevice(
  { asker, device }: { asker: Principal; device: Principal },
  { registry, gateway }: Sources,
  now: WallTime,
): Promise<DeviceDocument> {
  const presence = gateway.presence(device)
  const revoked = device.revokedAt !== undefined
  const since = revoked ? device.revokedAt : presence.since
  const heard = presence.lastAuthentic
  return {
    id: device.publicId,
    name: device.name,
    state: revoked ? 'revoked' : presence.state,
    since: since === undefined ? null : new Date(since).toISOString(),
    evidenceAgeSeconds: heard === undefined ? null : Math.max(0, Math.round((now - heard) / 1000)),
    keepaliveAgeSeconds: presence.lastHint === undefined ? null : Math.max(0, Math.round((now - presence.lastHint) / 1000)),
    addresses: [...device.addresses],
    tags: [...device.tags],
    hostKeys: await hostKeysOf(device, registry.hostKeys),
    suite: presence.suite ?? (device.ipsec === undefined ? 'noise' : 'esp'),
    endpoint: presence.endpoint ?? null,
    ports: portsOf(asker, device, registry.policy, now),
    data: dataOf(device, presence, registry.dataUse),
    stock: device.stock,
    tunnelKey: device.tunnelKey === undefined ? null : Buffer.from(device.tunnelKey, 'hex').toString('base64'),
  }
}

/** Who shows a sign of life more rarely than this is asleep in between, seconds: no mapping lives so long. */
const sleepingPace = 360

function dataOf(device: Principal, { paceSeconds }: Presence, use: Registry['dataUse']): DeviceDocument['data'] {
  const counted = use.of(device.id)
  const isAsleep = (paceSeconds ?? 0) > sleepingPace
  return {
    mode: isAsleep ? 'on-demand' : (device.data?.mode ?? 'normal'),
    monthlyMegabytes: device.data?.monthlyMegabytes ?? null,
    paceSeconds: paceSeconds ?? null,
    wakeSeconds: isAsleep ? (paceSeconds ?? 0) : 0,
    todayBytes: counted?.todayBytes ?? 0,
    monthBytes: counted?.monthBytes ?? 0,
    projectedMonthBytes: counted?.projectedMonthBytes ?? null,
    estimatedBytes: counted?.estimatedBytes ?? 0,
  }
}

/** By service. */
export async function hostKeysOf(device: Principal, store: Registry['hostKeys']): Promise<Record<string, HostKeysDocument>> {
  return Object.fromEntries((await store.of(device.id)).map((entry) => [entry.service, describeHostKeys(entry)]))
}

export const describeHostKeys = ({ keys, offered }: HostKeys): HostKeysDocument => ({
  keys: [...keys],
  changed: offered === undefined ? null : [...offered.keys],
})

function portsOf(asker: Principal, device: Principal, policy: Registry['policy'], now: WallTime): { from: number; to: number }[] {
  return policy.grantsBetween(asker, device, now).flatMap(({ ports }) => ports.map(({ from, to }) => ({ from, to })))
}
