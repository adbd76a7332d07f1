import type { FastifyReply } from 'fastify'
import type { ApiServer } from '#broker/api/api-server.ts'
import type { OutsiderAnswer, OutsiderDesk } from './outsider-desk.ts'

const open = (summary: string) => ({ config: { access: 'public' as const }, schema: { summary, tags: ['outsiders'] } })

/** The desk for outsiders at the API. */
export function outsiderRoutes(app: ApiServer, desk: OutsiderDesk): void {
  app.register(async (scope) => {
    scope.addContentTypeParser('application/ocsp-request', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    scope.get(
      '/pki/:file',
      open('Revoked certificates of a CA (ROLE.crl), or its own certificate (ROLE.crt)'),
      async (request, reply) => send(reply, await desk.get(pathOf(request.url))),
    )
    scope.get('/ocsp/*', open("A certificate's status (RFC 6960)"), async (request, reply) =>
      send(reply, await desk.get(pathOf(request.url))),
    )
    scope.post('/ocsp', open("A certificate's status (RFC 6960)"), async (request, reply) =>
      send(reply, request.body instanceof Uint8Array ? await desk.ocsp(request.body) : undefined),
    )
  })
}

const pathOf = (url: string): string => url.split('?', 1)[0] ?? ''

function send(reply: FastifyReply, answer: OutsiderAnswer | undefined): FastifyReply {
  if (answer === undefined) return reply.callNotFound() as unknown as FastifyReply
  return reply.code(answer.status).headers(answer.headers).send(Buffer.from(answer.body))
}
