import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { requestsPerMinute } from '#broker/api/settings.ts'
import { AditError } from '#shared/errors.ts'

/**
 * One principal's requests a minute. The key is the identity, never the address: five hundred devices behind one NAT must not shut
 * each other out (P-11). Who has no certificate meets only public routes, which cost less than the TLS handshake before them; failed
 * rights are counted where they fail (`broker/enrolment/failed-rights.ts`).
 */
export async function limitRate(app: FastifyInstance): Promise<void> {
  await app.register(rateLimit, {
    max: requestsPerMinute,
    timeWindow: 60_000,
    cache: 20_000,
    // The principal is known once `guardRoutes` has run, which is registered before this.
    hook: 'preValidation',
    keyGenerator: (request) => request.caller?.principal.publicId ?? '',
    allowList: (request) => request.caller === undefined,
    errorResponseBuilder: (_request, context) =>
      new AditError('rate-limited', `Too many requests: at most ${context.max} a minute.`, `Wait ${context.after}, then go on.`),
  })
}
