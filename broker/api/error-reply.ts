import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { AditError, type ErrorCode, isAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import { KnownPaths } from './known-paths.ts'

/** The body of every answer that is not a success. */
const errorDocument = z.object({
  error: z.string().describe('stable code'),
  message: z.string().describe('one sentence: the cause'),
  mend: z.string().describe('one sentence: what to do'),
})

/** HTTP status of each code that the API itself answers with; others are 500. */
const statuses: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  'name-invalid': 400,
  'claim-malformed': 400,
  'request-refused': 400,
  'claim-unknown': 401,
  'claim-used': 401,
  'claim-expired': 401,
  'claim-revoked': 401,
  'claim-wrong-role': 401,
  'claim-wrong-serial': 403,
  'enrolment-denied': 403,
  'certificate-refused': 403,
  forbidden: 403,
  revoked: 403,
  'device-revoked': 403,
  'not-found': 404,
  'device-unknown': 404,
  'name-taken': 409,
  'already-enrolled': 409,
  'voucher-malformed': 400,
  'voucher-expired': 403,
  'outside-scope': 403,
  'delegation-over': 403,
  'quota-exhausted': 409,
  'unit-delivered': 409,
  'ca-too-flat': 409,
  'ledger-damaged': 400,
  'ledger-forked': 409,
  'statement-refused': 409,
  'fleet-key-refused': 409,
  'host-key-changed': 409,
  'rate-limited': 429,
  'not-offered': 501,
  'hook-failed': 503,
  'disk-full': 503,
  'storage-failed': 503,
}

export const statusOf = (error: AditError): number => statuses[error.code] ?? 500

/** Turns whatever a route throws into a code, a sentence and a mend; the unexpected is logged in full and told to nobody. */
export function answerErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = meaningOf(error)
    if (known === undefined) log.error({ err: error, route: request.routeOptions.url }, 'a request failed')
    return sendError(reply, known ?? hidden, clientStatusOf(error))
  })
  // Every route may be refused: the document says so for each.
  app.addHook('onRoute', ({ schema }) => {
    const responses = schema?.response as Record<string, unknown> | undefined
    if (schema && responses) schema.response = { ...responses, '4xx': errorDocument }
  })
  const paths = new KnownPaths(app)
  app.setNotFoundHandler(({ method, url }, reply) => {
    const methods = paths.methodsAt(url.split('?')[0]!)
    if (methods.length === 0) return sendError(reply, nothingHere)
    return sendError(reply.header('allow', methods.join(', ')), otherMethod(method, methods), 405)
  })
}

export function sendError(reply: FastifyReply, error: AditError, status = statusOf(error)): FastifyReply {
  return reply.code(status).type('application/json').send(JSON.stringify(error.toJSON()))
}

function meaningOf(error: FastifyError): AditError | undefined {
  if (isAditError(error)) return error.code === 'internal' ? undefined : error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation
    const where = first?.instancePath.replaceAll('/', '.').replace(/^\./, '') || error.validationContext || 'request'
    return new AditError(
      'usage',
      `The request is not understood: ${where}: ${first?.message ?? 'invalid'}.`,
      'See /v1/openapi.json.',
    )
  }
  if (clientStatusOf(error) !== undefined)
    return new AditError('usage', `The request is refused: ${error.message}.`, 'See /v1/openapi.json.')
  return undefined
}

/** Of Fastify's own refusals (body too large, broken JSON, unknown media type): they are the client's doing and safe to tell. */
function clientStatusOf(error: FastifyError): number | undefined {
  const { statusCode = 500 } = error
  return !isAditError(error) && statusCode >= 400 && statusCode < 500 ? statusCode : undefined
}

const hidden = new AditError('internal', 'The broker could not answer.', "Look at the broker's log for the cause.")
const otherMethod = (method: string, methods: readonly string[]): AditError =>
  new AditError('usage', `${method} is not for this address: it takes ${methods.join(' and ')}.`, 'See /v1/openapi.json.')
const nothingHere = new AditError('not-found', 'There is nothing at this address.', 'See /v1/openapi.json.')
