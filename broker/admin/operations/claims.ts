import { z } from 'zod'
import type { ClaimSummary } from '#broker/registry/claims.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import { isoTime } from '../iso-time.ts'
import { labels, milliseconds, nothing, type Operation, operation } from '../operation.ts'

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
  'claim.create': operation(
    newClaim,
    async ({ registry, authority, suite, actor, reach }, { name, uses, ttl, serials, rate, ...rest }) => {
      const { api, addresses } = await reach()
      if (api.length === 0) {
        const message = 'It is not known where the API will listen, since its port is 0 and no broker runs.'
        throw new AditError('broker-not-running', message, 'Start the broker first, or set public-api in the configuration.')
      }
      const { summary, id, secret } = await registry.claims.create(
        {
          ...rest,
          ...(name !== undefined && { name }),
          ...(uses !== undefined && { uses }),
          ...(ttl !== undefined && { ttl }),
          ...(serials !== undefined && { serials }),
          ...(rate !== undefined && { rate }),
        },
        actor,
      )
      const { pinned } = registry.statements
      const optional = { ...(addresses.length > 0 && { addresses }), ...(pinned && { fleetKey: pinned }) }
      const claim = encodeClaim({ api, ca: authority.rootFingerprint, id, secret, role: summary.role, ...optional }, suite)
      return { claim, ...document(summary), api, addresses }
    },
  ),
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
