import { z } from 'zod'
import type { Grant } from '#broker/policy/grant.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { AditError } from '#shared/errors.ts'
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
    if (end !== undefined && end <= clock.wall())
      throw new AditError('usage', 'until: that moment is over.', 'Name one to come, as in 7d or 2027-01-31T12:00Z.')
    const added = await registry.grants.add({ ...grant, ...(end !== undefined && { until: end }) }, actor)
    return { ...document(added), warnings: await warningsOf(added, registry) }
  }),
  'grant.list': operation(z.strictObject({ all: z.boolean().default(false) }), async ({ registry }, { all }) =>
    (await registry.grants.list({ all })).map(document),
  ),
  'grant.revoke': operation(z.strictObject({ id: z.int().min(1) }), async ({ registry, actor }, { id }) =>
    document(await registry.grants.revoke(id, actor)),
  ),
}

/** A grant may be made before those whom it names are; one that opens nothing as things stand is said to, unless a claim waits for them. */
async function warningsOf(
  { operators, devices, from, to }: Grant,
  { directory, claims }: Pick<Registry, 'directory' | 'claims'>,
): Promise<string[]> {
  const isLive = (kind: 'device' | 'operator', name: string): boolean => {
    const principal = directory.byName(kind, name)
    return principal !== undefined && principal.revokedAt === undefined
  }
  const open = (await claims.list()).filter(({ state }) => state === 'open')
  const isMissing = (kind: 'device' | 'operator', name: string): boolean =>
    !isLive(kind, name) && !open.some((claim) => claim.role === kind && claim.name !== undefined && mayName(claim.name, name))
  const unknown = [...new Set([...from, ...to])].filter((name) => !isLive('device', name))
  const bare = to.filter((name) => !unknown.includes(name) && directory.byName('device', name)?.subnets.length === 0)
  return [
    ...operators.filter((name) => isMissing('operator', name)).map((name) => `There is no operator ${name} yet.`),
    ...[...new Set(devices)].filter((name) => isMissing('device', name)).map((name) => `There is no device ${name} yet.`),
    ...unknown.map((name) => `There is no device ${name} yet.`),
    ...bare.map((name) => `No subnet lies behind ${name}: until one does, this grant opens nothing there.`),
  ]
}

/** Whether a claim with this name or pattern may give somebody that name. */
const mayName = (pattern: string, name: string): boolean => new RegExp(`^${pattern.replace(/\{n\}|#+/, '\\d+')}$`).test(name)

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
