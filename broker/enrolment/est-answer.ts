import type { FastifyReply, FastifyRequest } from 'fastify'
import { statusOf } from '#broker/api/error-reply.ts'
import type { Outcome } from '#broker/enrolment/enrolment.ts'
import { contentTypes, encodeBody } from '#broker/enrolment/est-body.ts'
import { isAditError } from '#shared/errors.ts'
import { encodeCertsOnly } from '#shared/pki/certs-only.ts'

/** Seconds after which whoever is refused for now may ask again, where nothing else is said. */
const askAgain: Partial<Record<number, number>> = { 429: 60, 503: 30 }

export function sendDer(reply: FastifyReply, contentType: string, der: Uint8Array): FastifyReply {
  return reply.header('content-transfer-encoding', 'base64').type(contentType).send(encodeBody(der, reply.request.headers.accept))
}

/** The certificate, or 202 and when to ask again with the same request (RFC 7030 §4.2.3). */
export function sendOutcome(reply: FastifyReply, outcome: Outcome): FastifyReply {
  if ('certificate' in outcome) return sendDer(reply, contentTypes.certificates, encodeCertsOnly([outcome.certificate]))
  const { waiting, retryAfter } = outcome
  reply.code(202).header('retry-after', String(retryAfter))
  const key = keyText(waiting.spkiSha256)
  if (wantsJson(reply.request))
    return reply.type('application/json').send(JSON.stringify({ state: 'waiting', request: waiting.id, key, retryAfter }))
  return reply
    .type('text/plain; charset=utf-8')
    .send(`Request ${waiting.id} waits for a person (adit-broker enrolments approve ${waiting.id}); its key is ${key}.\r\n`)
}

/** Our agent asks for JSON and gets the code; stock clients print a text (RFC 7030 §4.2.3). Whoever may try again is told how (401). */
export function answerEst(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (!isAditError(error)) throw error
  const status = statusOf(error)
  if (status === 401) reply.header('www-authenticate', 'Basic realm="adit claim", charset="UTF-8"')
  const again = askAgain[status]
  if (again !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', String(again))
  if (wantsJson(request)) return reply.code(status).type('application/json').send(JSON.stringify(error))
  return reply.code(status).type('text/plain; charset=utf-8').send(`${error.message} ${error.mend} (${error.code})\r\n`)
}

/** A key's SHA-256 for two people to compare by voice: the first 16 bytes in eight groups. `spkiSha256`: hex. */
export const keyText = (spkiSha256: string): string => (spkiSha256.slice(0, 32).match(/.{4}/g) ?? []).join(' ')

const wantsJson = (request: FastifyRequest): boolean => /application\/json/i.test(request.headers.accept ?? '')
