import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { deviceName } from '#broker/api/routes/devices.ts'
import { longestWaitSeconds } from '#broker/api/settings.ts'
import { VisibleDevices } from '#broker/api/visible-devices.ts'
import type { StoredReading, TelemetryStore } from '#broker/registry/telemetry.ts'
import { seconds } from '#shared/time/instant.ts'

export const readingDocument = z.object({
  name: z.string(),
  value: z.unknown().describe('number, text, boolean, null or JSON; bytes as {"base64": …}'),
  unit: z.string().nullable(),
  at: z.iso.datetime(),
  boot: z.number().int().describe("counts the agent's starts"),
  seq: z.number().int().describe('grows by one with each reading of a boot'),
})

const telemetryDocument = z.object({
  readings: z.array(readingDocument),
  next: z.string().describe('cursor: give it as `after` to go on from here'),
})

const query = z.object({
  after: z.string().max(64).optional().describe('cursor of the page before; without it the latest readings come'),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
  wait: z.coerce.number().int().min(0).max(longestWaitSeconds).default(0).describe('seconds to wait for something new'),
  name: z.string().min(1).max(255).optional().describe('readings of this name alone'),
  since: z.iso.datetime({ offset: true }).optional().describe('readings taken at or after this time'),
})

/** Pages read for one request at most while looking for readings at or after `since`. */
const pagesPerRequest = 20

/** `GET /v1/devices/:name/telemetry`: stored readings, oldest first; with `wait` a long poll that follows. */
export function telemetryRoute(app: ApiServer, { registry, clock, waiting }: ApiParts): void {
  const visible = new VisibleDevices(registry)
  app.get(
    '/v1/devices/:name/telemetry',
    {
      config: { access: 'operator' },
      schema: {
        summary: 'Readings',
        tags: ['telemetry'],
        params: deviceName,
        querystring: query,
        response: { 200: telemetryDocument },
      },
    },
    async (request) => {
      const { principal } = callerOf(request)
      const asked = request.query
      const find = (): Promise<Page> => {
        // Judged again after each wait: the grant or the operator may have gone meanwhile.
        const now = registry.directory.byId(principal.id) ?? principal
        return findReadings(registry.telemetry, visible.one(now, request.params.name, clock.wall()).id, asked)
      }
      const device = visible.one(principal, request.params.name, clock.wall()).id
      const wait = { span: seconds(asked.wait), device, subject: principal.id }
      const page = await waiting.until(wait, find, ({ readings }) => readings.length > 0)
      return { readings: page.readings.map(describeReading), next: page.next }
    },
  )
}

type Page = Awaited<ReturnType<TelemetryStore['query']>>

/**
 * One page of readings. `since` is looked for page by page, as readings lie in the order in which they came; a request that finds
 * none in its share of pages answers with the cursor to go on from.
 */
async function findReadings(
  telemetry: Pick<TelemetryStore, 'query'>,
  deviceId: number,
  asked: z.infer<typeof query>,
): Promise<Page> {
  const { limit, after, name } = asked
  const base = { deviceId, ...(name !== undefined && { name }) }
  if (asked.since === undefined)
    return telemetry.query({ ...base, limit, ...(after === undefined ? { newest: true } : { after }) })
  const since = Date.parse(asked.since)
  let cursor = after
  for (let page = 1; ; page++) {
    const { readings, next } = await telemetry.query({ ...base, limit, ...(cursor !== undefined && { after: cursor }) })
    const found = readings.filter(({ at }) => at >= since)
    if (found.length > 0 || readings.length < limit || page === pagesPerRequest) return { readings: found, next }
    cursor = next
  }
}

function describeReading({ name, value, unit, at, boot, seq }: StoredReading): z.infer<typeof readingDocument> {
  return { name, value: jsonValue(value), unit: unit ?? null, at: new Date(at).toISOString(), boot, seq }
}

/** JSON has no bytes: they go as {"base64": …}, also inside a structure. */
function jsonValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map(jsonValue)
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, part]) => [String(key), jsonValue(part)]))
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, jsonValue(part)]))
  return value
}
