import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { BrokerMetrics } from '#broker/api/broker-metrics.ts'

/** `GET /metrics` in Prometheus' text format: for a scraper on this machine without more ado, from elsewhere for administrators. */
export function metricsRoute(app: ApiServer, parts: ApiParts): void {
  const metrics = new BrokerMetrics(parts)
  app.addHook('onResponse', async (request, reply) =>
    metrics.answered(request.routeOptions.url, reply.statusCode, reply.elapsedTime),
  )
  app.get('/metrics', { config: { access: 'scraper' }, schema: { hide: true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  )
}
