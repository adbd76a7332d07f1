import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { VisibleDevices } from '#broker/api/visible-devices.ts'

const auditRow = z.object({
  id: z.number().int(),
  at: z.iso.datetime(),
  actor: z.string().describe('who did it: `operator:NAME`, `device:NAME`, `admin:USER` or `broker`'),
  action: z.string(),
  subject: z.string().describe('to whom or what'),
  detail: z.record(z.string(), z.unknown()),
})

const auditDocument = z.object({
  rows: z.array(auditRow),
  next: z.number().int().describe('give it as `after` to go on from here'),
})

const query = z.object({
  after: z.coerce.number().int().min(0).optional().describe('rows with a greater id; without it the latest come'),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
})

/** `GET /v1/audit`: who reached what, and what was refused. Operators read the rows of their grants' devices and their own. */
export function auditRoute(app: ApiServer, { registry, clock }: ApiParts): void {
  const visible = new VisibleDevices(registry)
  app.get(
    '/v1/audit',
    {
      config: { access: 'operator' },
      schema: { summary: 'Audit rows', tags: ['audit'], querystring: query, response: { 200: auditDocument } },
    },
    async (request) => {
      const { principal } = callerOf(request)
      const { after, limit } = request.query
      const devices = principal.admin ? [] : visible.all(principal, clock.wall())
      const rows = await registry.audit.query({
        limit,
        ...(after === undefined ? { newest: true } : { after }),
        ...(!principal.admin && {
          visibleTo: { deviceIds: devices.map(({ id }) => id), actor: `operator:${principal.name}` },
        }),
      })
      return {
        rows: rows.map(({ id, at, actor, action, subject, detail }) => ({
          id,
          at: new Date(at).toISOString(),
          actor,
          action,
          subject,
          detail: detail ?? {},
        })),
        next: rows.at(-1)?.id ?? after ?? 0,
      }
    },
  )
}
