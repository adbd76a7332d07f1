import { z } from 'zod'
import type { Grant } from '#broker/policy/grant.ts'
import { isoTime } from '../iso-time.ts'
import { labels, milliseconds, type Operation, operation } from '../operation.ts'

const port = z.int().min(1, 'ports go from 1 to 65535').max(65_535, 'ports go from 1 to 65535')

const newGrant = z.strictObject({
  operators: labels,
  groups: labels,
  tags: labels,
  devices: labels,
  ports: z.array(z.strictObject({ from: port, to: port })).default([]),
  /** Span in ms from now. */
  lasting: milliseconds.optional(),
  /** Wall-clock ms. */
  until: milliseconds.optional(),
})

export const grantOperations: Record<string, Operation> = {
  'grant.add': operation(newGrant, async ({ registry, clock, actor }, { lasting, until, ...grant }) => {
    const end = until ?? (lasting === undefined ? undefined : clock.wall() + lasting)
    return document(await registry.grants.add({ ...grant, ...(end !== undefined && { until: end }) }, actor))
  }),
  'grant.list': operation(z.strictObject({ all: z.boolean().default(false) }), async ({ registry }, { all }) =>
    (await registry.grants.list({ all })).map(document),
  ),
  'grant.revoke': operation(z.strictObject({ id: z.int().min(1) }), async ({ registry, actor }, { id }) =>
    document(await registry.grants.revoke(id, actor)),
  ),
}

const document = (grant: Grant): object => ({
  id: grant.id,
  operators: grant.operators,
  groups: grant.groups,
  tags: grant.tags,
  devices: grant.devices,
  ports: grant.ports.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)),
  until: isoTime(grant.until),
  created: isoTime(grant.createdAt),
  revoked: isoTime(grant.revokedAt),
})
