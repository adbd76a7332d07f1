import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { pendingDocument } from '#broker/fleet/pending-document.ts'
import { StatementDesk } from '#broker/fleet/statement-desk.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { AditError } from '#shared/errors.ts'
import { keyFingerprint } from '#shared/fleet/key-fingerprint.ts'

const pendingReply = z.object({
  fleet: z.string().describe("SHA-256 of the fleet's root certificate, base64: the signer compares it with its own"),
  key: z.string().nullable().describe('the pinned fleet key, base64; null where the broker signs for itself'),
  pending: z.array(
    z.object({
      subject: z.string(),
      reason: z.enum(['new', 'changed', 'expiring', 'other-key', 'station-over', 'gone']),
      words: z.string(),
      draft: z.string().describe('CBOR of the statement with version 0, base64'),
    }),
  ),
  unsayable: z.array(z.object({ subject: z.string(), why: z.string() })),
  atStations: z
    .array(z.object({ station: z.string(), devices: z.number().int() }))
    .describe('devices that wait for the word of the station which made them'),
})

const pendingQuery = z.object({
  after: z.string().max(512).optional().describe('only subjects behind this one'),
  limit: z.coerce.number().int().min(1).max(500).default(200),
  all: z.enum(['true', 'false']).default('false').describe('everything, as for a new key'),
})

const signedBody = z.object({
  statements: z.array(z.string().max(24_000)).min(1).max(500).describe('COSE_Sign1 under the fleet key, base64'),
})

/**
 * What waits for the administrator's key, and what comes back signed. Handing in needs no right but to be an operator, since the
 * signature is the right; looking needs `--admin`, since the drafts name every device, operator, key and grant there is.
 */
export function fleetRoutes(app: ApiServer, { registry, authority, suite, clock }: ApiParts): void {
  const desk = new StatementDesk({ registry, fleet: authority.fleetId, suite, clock })

  app.get(
    '/v1/fleet/pending',
    {
      config: { access: 'operator' },
      schema: {
        summary: 'Statements that wait for the fleet key',
        tags: ['fleet'],
        querystring: pendingQuery,
        response: { 200: pendingReply },
      },
    },
    async (request) => {
      const { principal } = callerOf(request)
      if (!principal.admin) throw notAdmin(principal)
      const { after = '', limit, all } = request.query
      const { pending, ...others } = await desk.pending({ all: all === 'true' })
      const page = pending.filter(({ subject }) => subject > after).slice(0, limit)
      return pendingDocument({ pending: page, ...others }, { authority, registry, suite })
    },
  )

  app.post(
    '/v1/fleet/statements',
    {
      config: { access: 'operator' },
      schema: {
        summary: 'Signed statements come back',
        tags: ['fleet'],
        body: signedBody,
        response: { 200: z.object({ taken: z.number().int(), fingerprint: z.string() }) },
      },
    },
    async (request) => {
      const statements = request.body.statements.map((text) => Uint8Array.from(Buffer.from(text, 'base64')))
      const { taken, key } = await desk.submit(statements, `operator:${callerOf(request).principal.name}`)
      return { taken, fingerprint: keyFingerprint(key, suite) }
    },
  )
}

const notAdmin = ({ name }: Principal): AditError =>
  new AditError(
    'forbidden',
    `${name} is no administrator of this fleet, and the statements name all that is in it.`,
    'Sign with the identity of one: adit-broker claim create --role operator --admin. Or by files: adit-broker fleet pending --json.',
  )
