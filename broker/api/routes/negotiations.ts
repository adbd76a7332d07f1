import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { describeNegotiation } from '#broker/registry/negotiation-document.ts'
import { AditError } from '#shared/errors.ts'

const negotiation = z.object({
  id: z.number().int(),
  at: z.iso.datetime(),
  peer: z.string().nullable().describe('whose it was, by the identity that was claimed; not proven'),
  from: z.string().nullable().describe('address and port'),
  claimedId: z.string().nullable(),
  stage: z.string().describe('init, auth, child, rekey, resume or mobike'),
  code: z.string().describe('stable name of the cause'),
  times: z.number().int().describe('since the row before that says the same, this time included'),
  message: z.string(),
  offered: z.array(z.string()),
  allowed: z.array(z.string()),
  nearest: z.object({ offered: z.string(), allowed: z.string(), differs: z.string() }).nullable(),
  mendHere: z.string().describe('what to change at the broker'),
  mendThere: z.string().describe('what to change at the peer'),
})

const query = z.object({
  peer: z.string().min(1).max(255).optional().describe('name of a device'),
  after: z.coerce.number().int().min(0).optional().describe('rows with a greater id; without it the latest come'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
})

/** `GET /v1/negotiations`: why IPsec peers do not connect. For administrators: strangers' addresses and claims are in it. */
export function negotiationsRoute(app: ApiServer, { registry }: ApiParts): void {
  app.get(
    '/v1/negotiations',
    {
      config: { access: 'operator' },
      schema: {
        summary: 'Negotiations of IKE that came to nothing, in the order of their happening',
        tags: ['devices'],
        querystring: query,
        response: { 200: z.array(negotiation) },
      },
    },
    async (request) => {
      const { principal } = callerOf(request)
      if (!principal.admin) throw forbidden(principal.name)
      const { peer, after, limit } = request.query
      const found = await registry.negotiations.query({
        limit,
        ...(peer !== undefined && { principalId: registry.devices.get(peer).id }),
        ...(after !== undefined && { after }),
      })
      return found.map((row) => describeNegotiation(row, registry.directory))
    },
  )
}

const forbidden = (name: string): AditError =>
  new AditError(
    'forbidden',
    `${name} is no administrator.`,
    'Ask one, or say: adit why DEVICE, which tells of the devices of your grants.',
  )
