import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { hearFarewell } from '#broker/lifecycle/farewell.ts'
import { EVIDENCE_LIMIT } from '#shared/fleet/wipe-evidence.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'

const orderDocument = z.object({
  time: z.number().describe("the broker's wall clock, ms since 1970"),
  order: z
    .object({
      id: z.string(),
      statements: z
        .array(z.string())
        .describe('COSE_Sign1, base64: the order, behind the links by which a pinned key is followed'),
      next: z.string().optional().describe('the claim of the next fleet, whose hash the order names'),
    })
    .nullable()
    .describe('null: nothing waits, or nobody whose word counts has signed it'),
})

const evidenceBody = z.object({ evidence: z.base64().max(EVIDENCE_LIMIT * 2) })

/** A device asks whether it is to forget its fleet, and says that it has: both also when it is revoked, or its certificate has expired. */
export function orderRoute(app: ApiServer, { authority, registry, statements, suite, clock }: ApiParts): void {
  app.get(
    '/v1/agent/order',
    {
      config: { access: 'orders' },
      schema: {
        summary: 'The order to forget the fleet that waits for the caller',
        tags: ['agents'],
        response: { 200: orderDocument },
      },
    },
    async (request) => {
      const { principal, peer } = callerOf(request)
      const found = statements.orderFor(principal)
      if (found === undefined || found.statements.length === 0 || found.order.identity !== peer.spkiSha256Hex)
        return { time: clock.wall(), order: null }
      const { order } = found
      await registry.orders.fetched(principal, order)
      return {
        time: clock.wall(),
        order: {
          id: order.id,
          statements: found.statements.map((bytes) => Buffer.from(bytes).toString('base64')),
          ...(order.nextClaim !== undefined && { next: order.nextClaim }),
        },
      }
    },
  )

  app.put(
    '/v1/agent/order',
    {
      config: { access: 'orders' },
      schema: {
        summary: 'The evidence that the order was carried out',
        tags: ['agents'],
        body: evidenceBody,
        response: { 200: z.object({ done: z.boolean() }) },
      },
    },
    async (request) => {
      const { principal, peer, certificate } = callerOf(request)
      const evidence = Uint8Array.from(Buffer.from(request.body.evidence, 'base64'))
      await hearFarewell(principal, peer, keyOf(certificate), evidence, { registry, suite, fleet: authority.fleetId })
      return { done: true }
    },
  )
}

/** The point of the P-256 key that the caller has proven; `guardRoutes` has judged its certificate. */
function keyOf(certificate: Uint8Array): Uint8Array {
  const { publicKey } = parseCertificate(certificate)
  if (publicKey.kind !== 'p256') throw new TypeError('a caller without an identity key')
  return publicKey.point
}
