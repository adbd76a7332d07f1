import { z } from 'zod'
import type { GatewayView } from '#broker/gateway/view.ts'
import type { HostKeys } from '#broker/registry/host-keys.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { WallTime } from '#shared/time/instant.ts'

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
  addresses: z.array(z.string()).describe('inside the tunnel'),
  tags: z.array(z.string()),
  hostKeys: z.record(z.string(), hostKeysDocument).describe('by service, for instance ssh'),
  suite: z.enum(['noise', 'esp']),
  endpoint: z.string().nullable().describe('where its datagrams come from'),
  stock: z.boolean().describe('a plain WireGuard peer, without our agent'),
})

export type DeviceDocument = z.infer<typeof deviceDocument>
type HostKeysDocument = z.infer<typeof hostKeysDocument>

interface Sources {
  registry: Pick<Registry, 'hostKeys'>
  gateway: Pick<GatewayView, 'presence'>
}

export async function describeDevice(device: Principal, { registry, gateway }: Sources, now: WallTime): Promise<DeviceDocument> {
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
    addresses: [...device.addresses],
    tags: [...device.tags],
    hostKeys: await hostKeysOf(device, registry.hostKeys),
    suite: 'noise',
    endpoint: presence.endpoint ?? null,
    stock: device.stock,
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
