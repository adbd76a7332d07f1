import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { statusOf } from '#broker/api/error-reply.ts'
import { readBasic } from '#broker/enrolment/basic-credentials.ts'
import { Enrolment } from '#broker/enrolment/enrolment.ts'
import { contentTypes, decodeBody, encodeBody } from '#broker/enrolment/est-body.ts'
import { FailedClaims } from '#broker/enrolment/failed-claims.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { encodeCertsOnly } from '#shared/pki/certs-only.ts'

const prefix = '/.well-known/est'

/** CsrAttrs (RFC 7030 §4.5.2) that say: ecdsa-with-SHA256. SEQUENCE { OID 1.2.840.10045.4.3.2 }. */
const csrAttributes = Uint8Array.of(0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)

const enrolmentDocument = z.object({
  enrolmentKey: z.string().describe('X25519 public key of the CA, base64: a tunnel key is proven against it'),
})

/** Enrolment over Secure Transport (RFC 7030): a claim becomes a certificate, a certificate its successor. */
export function estRoutes(app: ApiServer, parts: ApiParts): void {
  const { authority } = parts
  app.register(async (est) => {
    est.addContentTypeParser(contentTypes.request, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    est.setErrorHandler((error, request, reply) => answerEst(error, request, reply))

    est.get(`${prefix}/cacerts`, open('CA certificates'), (_request, reply) => {
      const issuers = (['device', 'operator'] as const).flatMap((role) => authority.chainOf(role).slice(0, 1))
      return sendDer(reply, contentTypes.certificates, encodeCertsOnly([authority.rootDer, ...issuers]))
    })
    est.get(`${prefix}/csrattrs`, open('What a request should contain'), (_request, reply) =>
      sendDer(reply, contentTypes.attributes, csrAttributes),
    )
    enrolRoutes(est as ApiServer, parts)
  })

  app.get(
    '/v1/enrolment',
    { ...open('What a request needs beside EST'), schema: { response: { 200: enrolmentDocument }, tags: ['enrolment'] } },
    () => ({ enrolmentKey: Buffer.from(authority.enrolmentKey.publicKey).toString('base64') }),
  )
}

function enrolRoutes(est: ApiServer, parts: ApiParts): void {
  const enrolment = new Enrolment(parts)
  const failures = new FailedClaims(parts.clock)

  est.post(
    `${prefix}/simpleenroll`,
    open('A claim (HTTP Basic: id, secret in hex) becomes a certificate'),
    async (request, reply) => {
      const claim = readBasic(request.headers.authorization)
      if (claim === undefined) throw claimWanted()
      if (failures.isBlocked(request.ip, claim.id)) throw slowDown()
      try {
        const certificate = await enrolment.enrol(claim, decodeBody(request.body))
        return sendDer(reply, contentTypes.certificates, encodeCertsOnly([certificate]))
      } catch (error) {
        if (isAditError(error) && error.code.startsWith('claim-')) failures.failed(request.ip, claim.id)
        throw error
      }
    },
  )

  est.post(
    `${prefix}/simplereenroll`,
    { config: { access: 'renewal' }, schema: { summary: 'A certificate becomes its successor', tags: ['enrolment'] } },
    async (request, reply) => {
      const certificate = await enrolment.renew(callerOf(request), decodeBody(request.body))
      return sendDer(reply, contentTypes.certificates, encodeCertsOnly([certificate]))
    },
  )
}

const open = (summary: string) => ({ config: { access: 'public' as const }, schema: { summary, tags: ['enrolment'] } })

function sendDer(reply: FastifyReply, contentType: string, der: Uint8Array): FastifyReply {
  return reply.header('content-transfer-encoding', 'base64').type(contentType).send(encodeBody(der, reply.request.headers.accept))
}

/** Our agent asks for JSON and gets the code; stock clients print a text (RFC 7030 §4.2.3). Whoever may try again is told how (401). */
function answerEst(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (!isAditError(error)) throw error
  const status = statusOf(error)
  if (status === 401) reply.header('www-authenticate', 'Basic realm="adit claim", charset="UTF-8"')
  if (status === 429) reply.header('retry-after', '600')
  if (/application\/json/i.test(request.headers.accept ?? ''))
    return reply.code(status).type('application/json').send(JSON.stringify(error))
  return reply.code(status).type('text/plain; charset=utf-8').send(`${error.message} ${error.mend} (${error.code})\r\n`)
}

const claimWanted = (): AditError =>
  new AditError('claim-unknown', 'Enrolment needs a claim.', 'Give its id and secret as user and password (HTTP Basic, hex).')

const slowDown = (): AditError =>
  new AditError('rate-limited', 'This claim has failed too often from here.', 'Wait ten minutes, or ask for a new claim.')
