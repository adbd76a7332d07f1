import type { TLSSocket } from 'node:tls'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { readBasic } from '#broker/enrolment/basic-credentials.ts'
import { channelBinding } from '#broker/enrolment/channel-binding.ts'
import { csrAttributes } from '#broker/enrolment/csr-attributes.ts'
import { answerEst, sendDer, sendOutcome } from '#broker/enrolment/est-answer.ts'
import { contentTypes, decodeBody } from '#broker/enrolment/est-body.ts'
import { caCertificates, readLabel } from '#broker/enrolment/est-label.ts'
import { FailedRights } from '#broker/enrolment/failed-rights.ts'
import { idevidFinder } from '#broker/factory/idevid-finder.ts'
import type { Right } from '#broker/registry/right.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { encodeCertsOnly } from '#shared/pki/certs-only.ts'

const prefixes = ['/.well-known/est', '/.well-known/est/:label'] as const

const enrolmentDocument = z.object({
  enrolmentKey: z.string().describe('X25519 public key of the CA, base64: a tunnel key is proven against it'),
})

/** Enrolment over Secure Transport (RFC 7030): a right becomes a certificate, a certificate its successor. */
export function estRoutes(app: ApiServer, parts: ApiParts): void {
  const { authority } = parts
  const failures = new FailedRights(parts.clock)
  app.register(async (est) => {
    est.addContentTypeParser(contentTypes.request, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    est.setErrorHandler((error, request, reply) => answerEst(error, request, reply))
    for (const prefix of prefixes) {
      givingRoutes(est as ApiServer, prefix, parts)
      enrolRoutes(est as ApiServer, prefix, parts, failures)
      refusedRoutes(est as ApiServer, prefix)
    }
  })

  app.get(
    '/v1/enrolment',
    { ...open('What a request needs beside EST'), schema: { response: { 200: enrolmentDocument }, tags: ['enrolment'] } },
    () => ({ enrolmentKey: Buffer.from(authority.enrolmentKey.publicKey).toString('base64') }),
  )
}

function givingRoutes(est: ApiServer, prefix: string, { authority }: ApiParts): void {
  est.get(`${prefix}/cacerts`, open('CA certificates'), (request, reply) =>
    sendDer(reply, contentTypes.certificates, encodeCertsOnly(caCertificates(authority, labelOf(request)))),
  )
  est.get(`${prefix}/csrattrs`, open('What a request should contain'), (request, reply) => {
    labelOf(request)
    return sendDer(reply, contentTypes.attributes, csrAttributes)
  })
}

function enrolRoutes(est: ApiServer, prefix: string, parts: ApiParts, failures: FailedRights): void {
  const { enrolment } = parts
  const rightOf = rightFinder(parts)
  est.post(
    `${prefix}/simpleenroll`,
    open("A claim (HTTP Basic: id, secret in hex), or a board's IDevID, becomes a certificate, or waits for a person (202)"),
    async (request, reply) => {
      const role = labelOf(request)
      const right = await rightOf(request)
      if (right === undefined) throw claimWanted()
      if (failures.isBlocked(request.ip, right.id)) {
        reply.header('retry-after', '600')
        throw slowDown()
      }
      try {
        const asker = { address: request.ip, role, binding: bindingOf(request) }
        return sendOutcome(reply, await enrolment.enrol(right, decodeBody(request.body), asker))
      } catch (error) {
        if (isAditError(error) && isFaultOfRight(error)) failures.failed(request.ip, right.id)
        throw error
      }
    },
  )

  est.post(
    `${prefix}/simplereenroll`,
    { config: { access: 'renewal' }, schema: { summary: 'A certificate becomes its successor', tags: ['enrolment'] } },
    async (request, reply) => {
      const caller = callerOf(request)
      const role = labelOf(request)
      if (role !== undefined && role !== caller.principal.kind) throw otherCa(caller.principal.kind)
      const certificate = await enrolment.renew(caller, decodeBody(request.body), bindingOf(request))
      return sendOutcome(reply, { certificate })
    },
  )
}

/** What RFC 7030 has for others than us (§4.3, §4.4): refused by name, whatever the request says. */
function refusedRoutes(est: ApiServer, prefix: string): void {
  for (const [operation, error] of Object.entries(notOffered))
    est.route({
      method: ['GET', 'POST'],
      url: `${prefix}/${operation}`,
      config: { access: 'public' },
      schema: { hide: true },
      // Nothing of the body is read: it may be of any type.
      onRequest: async () => {
        throw error
      },
      handler: () => undefined,
    })
}

/** The right that a request shows: a claim's credentials, or a board's IDevID. */
function rightFinder(parts: ApiParts): (request: FastifyRequest) => Promise<Right | undefined> {
  const ofBoard = idevidFinder(parts)
  return async (request) => {
    const claim = readBasic(request.headers.authorization)
    return claim ? parts.registry.claims.right(claim) : ofBoard(request)
  }
}

const labelOf = (request: FastifyRequest): ReturnType<typeof readLabel> =>
  readLabel((request.params as { label?: string } | undefined)?.label)

const bindingOf = (request: FastifyRequest): ReturnType<typeof channelBinding> => channelBinding(request.raw.socket as TLSSocket)

/** Each costs a little, and a client that goes on and on is not to fill the audit log. */
const isFaultOfRight = ({ code }: AditError): boolean => code.startsWith('claim-') || code === 'enrolment-denied'

const open = (summary: string) => ({ config: { access: 'public' as const }, schema: { summary, tags: ['enrolment'] } })

const claimWanted = (): AditError =>
  new AditError('claim-unknown', 'Enrolment needs a claim.', 'Give its id and secret as user and password (HTTP Basic, hex).')

const slowDown = (): AditError =>
  new AditError('rate-limited', 'This claim has failed too often from here.', 'Wait ten minutes, or ask for a new claim.')

const otherCa = (role: string): AditError =>
  new AditError(
    'request-refused',
    'That CA does not certify the like of you.',
    `Renew at /.well-known/est/${role}/simplereenroll.`,
  )

const makeOwnKeys = 'Make the key yourself, where it is used, and ask with simpleenroll.'

const notOffered = {
  serverkeygen: new AditError('not-offered', 'This broker makes no keys for others (serverkeygen).', makeOwnKeys),
  fullcmc: new AditError(
    'not-offered',
    'This broker does not speak Full CMC (fullcmc).',
    'Use simpleenroll and simplereenroll, with PKCS#10.',
  ),
}
