import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { StationStatements } from '#broker/fleet/station-statements.ts'
import { stationOf } from '#broker/stations/station-caller.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'

const key = z
  .string()
  .regex(/^[A-Za-z0-9+/]{43}=$/)
  .describe('Ed25519, 32 bytes, base64')

const waitingReply = z.object({
  fleet: z.string().describe("SHA-256 of the fleet's root certificate, base64"),
  delegation: z.string().nullable().describe('what the fleet key lets the station say, COSE_Sign1 in base64; null: nothing'),
  waiting: z.number().int().describe('devices that wait, those that are not shown here included'),
  devices: z.array(
    z.object({
      unit: z.string().nullable().describe("the board's serial number, where it is known"),
      draft: z.string().describe('CBOR of the statement with version 0, base64'),
    }),
  ),
  last: z.string().nullable().describe('name of the last of them, behind which others may be; null: none'),
})

const waitingQuery = z.object({
  after: z.string().max(255).optional().describe('only names behind this one'),
  limit: z.coerce.number().int().min(1).max(200).default(100),
})

const signedBody = z.object({
  statements: z.array(z.string().max(24_000)).min(1).max(200).describe("COSE_Sign1 under the station's key, base64"),
})

/** How a station vouches for its devices where the fleet has a key: it tells its own, asks what waits, and hands in what it has signed. */
export function vouchingRoutes(app: ApiServer, { registry, authority, suite, clock }: ApiParts): void {
  const statements = new StationStatements({ registry, fleet: authority.fleetId, suite, clock })
  const schema = (summary: string) => ({ summary, tags: ['stations'] })
  const config = { access: 'station' as const }

  app.put(
    '/v1/station/statement-key',
    {
      config,
      schema: { ...schema('The key by which the station vouches'), body: z.object({ key }), response: { 200: z.object({}) } },
    },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      const told = bytesOf(request.body.key)
      const { pinned } = registry.statements
      if (pinned !== undefined && equalPublic(told, pinned)) throw isFleetKey()
      await registry.stations.tellKey(station, toHex(told))
      return {}
    },
  )

  app.get(
    '/v1/station/statements',
    {
      config,
      schema: {
        ...schema("Devices that wait for the station's word"),
        querystring: waitingQuery,
        response: { 200: waitingReply },
      },
    },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      const { after = '', limit } = request.query
      const { delegation, devices } = await statements.waiting(station)
      const page = devices.filter(({ draft }) => draft.name > after).slice(0, limit)
      return {
        fleet: textOf(authority.fleetId),
        delegation: delegation === undefined ? null : textOf(delegation.bytes),
        waiting: devices.length,
        last: page.at(-1)?.draft.name ?? null,
        devices: page.map(({ unit, draft }) => ({ unit, draft: textOf(encodeBody(draft)) })),
      }
    },
  )

  app.post(
    '/v1/station/statements',
    {
      config,
      schema: {
        ...schema('What the station has signed'),
        body: signedBody,
        response: { 200: z.object({ taken: z.number().int() }) },
      },
    },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      return { taken: await statements.submit(station, request.body.statements.map(bytesOf)) }
    },
  )
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

const isFleetKey = (): AditError =>
  new AditError(
    'request-refused',
    'That is the fleet key itself, which no station has.',
    'Make a key of its own: adit station sync',
  )
