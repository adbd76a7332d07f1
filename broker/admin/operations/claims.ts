import { z } from 'zod'
import type { ClaimSummary } from '#broker/registry/claims.ts'
import { isoTime } from '../iso-time.ts'
import { labels, milliseconds, nothing, type Operation, operation } from '../operation.ts'
import { claimTokens } from './claim-token.ts'

const newClaim = z.strictObject({
  role: z.enum(['device', 'operator']),
  name: z.string().optional(),
  uses: z.int().optional(),
  ttl: milliseconds.min(1_000, 'a claim is good for a second at least, as in 30m, 24h or 7d').optional(),
  tags: labels,
  groups: labels,
  admin: z.boolean().default(false),
  approval: z.boolean().default(false),
  serials: z.array(z.string()).optional(),
  rate: z.string().optional(),
})

export const claimOperations: Record<string, Operation> = {
  'claim.create': operation(newClaim, async (office, { name, uses, ttl, serials, rate, ...rest }) => {
    const tokens = await claimTokens(office)
    const { api, addresses, extent } = tokens.reach
    const { summary, id, secret } = await office.registry.claims.create(
      {
        ...rest,
        ...(name !== undefined && { name }),
        ...(uses !== undefined && { uses }),
        ...(ttl !== undefined && { ttl }),
        ...(serials !== undefined && { serials }),
        ...(rate !== undefined && { rate }),
      },
      office.actor,
    )
    return { claim: tokens.of({ id, secret }, summary.role), ...document(summary), api, addresses, extent: extent.api }
  }),
  'claim.list': operation(nothing, async ({ registry }) => (await registry.claims.list()).map(document)),
  'claim.revoke': operation(z.strictObject({ id: z.string() }), async ({ registry, actor }, { id }) =>
    document(await registry.claims.revoke(id, actor)),
  ),
}

const document = (claim: ClaimSummary): object => ({
  id: claim.id,
  role: claim.role,
  name: claim.name ?? null,
  state: claim.state,
  uses: claim.uses,
  used: claim.used,
  tags: claim.tags,
  groups: claim.groups,
  admin: claim.admin,
  approval: claim.approval,
  serials: claim.serials ?? null,
  rate: claim.rate ?? null,
  created: isoTime(claim.createdAt),
  expires: isoTime(claim.expiresAt),
})
