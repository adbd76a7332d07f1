import type { Server } from 'node:https'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
} from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { guardRoutes } from '#broker/api/admission.ts'
import { answerErrors } from '#broker/api/error-reply.ts'
import type { LongPolls } from '#broker/api/long-poll.ts'
import { PeerCertificates } from '#broker/api/peer-certificates.ts'
import { limitRate } from '#broker/api/rate-limit.ts'
import { agentRoutes } from '#broker/api/routes/agent.ts'
import { auditRoute } from '#broker/api/routes/audit.ts'
import { deviceRoutes } from '#broker/api/routes/devices.ts'
import { diagnosisRoute } from '#broker/api/routes/diagnosis.ts'
import { fleetRoutes } from '#broker/api/routes/fleet.ts'
import { healthRoute } from '#broker/api/routes/health.ts'
import { metricsRoute } from '#broker/api/routes/metrics.ts'
import { negotiationsRoute } from '#broker/api/routes/negotiations.ts'
import { operatorRoute } from '#broker/api/routes/operator.ts'
import { orderRoute } from '#broker/api/routes/order.ts'
import { pairRoute } from '#broker/api/routes/pair.ts'
import { telemetryRoute } from '#broker/api/routes/telemetry.ts'
import { timeRoute } from '#broker/api/routes/time.ts'
import { transitionsRoute } from '#broker/api/routes/transitions.ts'
import {
  type ApiSettings,
  bodyLimit,
  handshakeTimeoutMs,
  headersTimeoutMs,
  requestTimeoutMs,
  socketIdleMs,
} from '#broker/api/settings.ts'
import { ratchetRoute } from '#broker/clones/ratchet-route.ts'
import type { Enrolment } from '#broker/enrolment/enrolment.ts'
import { estRoutes } from '#broker/enrolment/est-routes.ts'
import type { LastWord } from '#broker/enrolment/last-word.ts'
import { brskiRoutes } from '#broker/factory/brski-routes.ts'
import type { StatementSource } from '#broker/fleet/statement-source.ts'
import type { GatewayView } from '#broker/gateway/view.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { OutsiderDesk } from '#broker/outsiders/outsider-desk.ts'
import { outsiderRoutes } from '#broker/outsiders/outsider-routes.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { FirstContact } from '#broker/stations/first-contact.ts'
import { stationRoutes } from '#broker/stations/station-routes.ts'
import { vouchingRoutes } from '#broker/stations/vouching-routes.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'

/** What the routes are made of. */
export interface ApiParts {
  registry: Registry
  authority: AuthorityFace
  gateway: GatewayView
  settings: ApiSettings
  suite: Suite
  clock: Clock
  log: Log
  waiting: LongPolls
  /** Makes certificates of rights. */
  enrolment: Enrolment
  /** The hook's, on whoever comes in by another way than a right. */
  lastWord: LastWord
  /** What strangers may ask of our certificates. */
  outsiders: OutsiderDesk
  /** What agents are told of one another. */
  statements: StatementSource
}

export type ApiServer = FastifyInstance<
  Server,
  RawRequestDefaultExpression<Server>,
  RawReplyDefaultExpression<Server>,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** The HTTPS server with every route, not yet listening. */
export async function buildApiServer(parts: ApiParts): Promise<ApiServer> {
  const app = Fastify({
    https: {
      ...parts.authority.tls,
      minVersion: 'TLSv1.2',
      requestCert: true,
      // TLS proves that the client has its certificate's key; whether the certificate is ours `peer-certificates.ts` judges.
      rejectUnauthorized: false,
      handshakeTimeout: handshakeTimeoutMs,
      headersTimeout: headersTimeoutMs,
      maxHeaderSize: 16 * 1024,
    },
    logger: false,
    bodyLimit,
    connectionTimeout: socketIdleMs,
    requestTimeout: requestTimeoutMs,
    forceCloseConnections: true,
    // Nothing stands in front of this server: mutual TLS ends here, so no forwarded address is believed.
    trustProxy: false,
  }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  answerErrors(app, parts.log)
  guardRoutes(app, {
    ...parts,
    certificates: new PeerCertificates(parts.authority, parts.clock, parts.suite),
    firstContact: new FirstContact(parts),
  })
  await limitRate(app)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'adit broker',
        description:
          "Enrolment, devices, telemetry, audit. Callers are known by their certificate (mutual TLS), or by a claim's id and secret.",
        version: parts.settings.version,
      },
      components: { securitySchemes: { claim: { type: 'http', scheme: 'basic' } } },
    },
    transform: jsonSchemaTransform,
  })
  metricsRoute(app, parts)
  // Outside the others: strongSwan's EST client takes no more than 1024 bytes of headers.
  estRoutes(app, parts)
  brskiRoutes(app, parts)
  await app.register(async (scope) => {
    await scope.register(helmet, {
      contentSecurityPolicy: { directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    })
    addRoutes(scope as ApiServer, parts)
  })
  return app
}

function addRoutes(app: ApiServer, parts: ApiParts): void {
  healthRoute(app, parts)
  transitionsRoute(app, parts)
  agentRoutes(app, parts)
  ratchetRoute(app, parts)
  timeRoute(app, parts)
  outsiderRoutes(app, parts.outsiders)
  diagnosisRoute(app, parts)
  orderRoute(app, parts)
  operatorRoute(app)
  deviceRoutes(app, parts)
  telemetryRoute(app, parts)
  auditRoute(app, parts)
  fleetRoutes(app, parts)
  negotiationsRoute(app, parts)
  stationRoutes(app, parts)
  vouchingRoutes(app, parts)
  pairRoute(app, parts)
  app.get('/v1/openapi.json', { config: { access: 'public' }, schema: { hide: true } }, () => app.swagger())
}
