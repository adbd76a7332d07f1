import { z } from 'zod'
import type { Grant } from '#broker/policy/grant.ts'
import type { Directory } from '#broker/registry/directory.ts'
import { isoTime } from '../iso-time.ts'
import { labels, milliseconds, type Operation, operation } from '../operation.ts'

const port = z.int().min(1, 'ports go from 1 to 65535').max(65_535, 'ports go from 1 to 65535')

const newGrant = z.strictObject({
  operators: labels,
  groups: labels,
  tags: labels,
  devices: labels,
  /** Names of devices: who, with what lies behind them; and in whose networks is what may be reached. */
  from: labels,
  to: labels,
  ports: z.array(z.strictObject({ from: port, to: port })).default([]),
  /** Span in ms from now. */
  lasting: milliseconds.optional(),
  /** Wall-clock ms. */
  until: milliseconds.optional(),
})

export const grantOperations: Record<string, Operation> = {
  'grant.add': operation(newGrant, async ({ registry, clock, actor }, { lasting, until, ...grant }) => {
    const end = until ?? (lasting === undefined ? undefined : clock.wall() + lasting)
    const added = await registry.grants.add({ ...grant, ...(end !== undefined && { until: end }) }, actor)
    return { ...document(added), warnings: warningsOf(added, registry.directory) }
  }),
  'grant.list': operation(z.strictObject({ all: z.boolean().default(false) }), async ({ registry }, { all }) =>
    (await registry.grants.list({ all })).map(document),
  ),
  'grant.revoke': operation(z.strictObject({ id: z.int().min(1) }), async ({ registry, actor }, { id }) =>
    document(await registry.grants.revoke(id, actor)),
  ),
}

/** A grant may be made before its devices are; one that opens nothing as things stand is said to. */
function warningsOf({ from, to }: Grant, directory: Pick<Directory, 'byName'>): string[] {
  const live = (name: string): boolean => {
    const device = directory.byName('device', name)
    return device !== undefined && device.revokedAt === undefined
  }
  const unknown = [...new Set([...from, ...to])].filter((name) => !live(name))
  const bare = to.filter((name) => !unknown.includes(name) && directory.byName('device', name)?.subnets.length === 0)
  return [
    ...unknown.map((name) => `There is no device ${name} yet.`),
    ...bare.map((name) => `No subnet lies behind ${name}: until one does, this grant opens nothing there.`),
  ]
}

const document = (grant: Grant): object => ({
  id: grant.id,
  operators: grant.operators,
  groups: grant.groups,
  tags: grant.tags,
  devices: grant.devices,
  from: grant.from,
  to: grant.to,
  ports: grant.ports.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)),
  until: isoTime(grant.until),
  created: isoTime(grant.createdAt),
  revoked: isoTime(grant.revokedAt),
})
