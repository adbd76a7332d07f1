import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiServer } from '#broker/api/api-server.ts'

const operatorDocument = z.object({
  id: z.string(),
  name: z.string(),
  admin: z.boolean().describe('sees every device and audit row'),
  groups: z.array(z.string()),
  addresses: z.array(z.string()),
  certificate: z.object({ notAfter: z.iso.datetime() }),
})

/** `GET /v1/operator`: who am I? */
export function operatorRoute(app: ApiServer): void {
  app.get(
    '/v1/operator',
    {
      config: { access: 'operator' },
      schema: { summary: 'The operator who asks', tags: ['operators'], response: { 200: operatorDocument } },
    },
    (request) => {
      const { principal, peer } = callerOf(request)
      return {
        id: principal.publicId,
        name: principal.name,
        admin: principal.admin,
        groups: [...principal.groups],
        addresses: [...principal.addresses],
        certificate: { notAfter: new Date(peer.notAfter).toISOString() },
      }
    },
  )
}
