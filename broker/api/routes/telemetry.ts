import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { deviceName } from '#broker/api/routes/devices.ts'
import { longestWaitSeconds } from '#broker/api/settings.ts'
import { VisibleDevices } from '#broker/api/visible-devices.ts'
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
      const { after, limit, wait, name, since } = request.query
      const page = () => {
        // Asked again after each wait: a grant or the operator may have gone meanwhile.
        const device = visible.one(principal, request.params.name, clock.wall())
        return registry.telemetry.page(device, {
          limit,
          ...(after !== undefined && { after }),
          ...(name !== undefined && { name }),
          ...(since !== undefined && { since: Date.parse(since) }),
        })
      }
      const { readings, next } = await waiting.until(
        { span: seconds(wait), subject: principal, gone: request.raw.socket },
        page,
        (found) => found.readings.length > 0,
      )
      return { readings: readings.map((reading) => ({ ...reading, at: new Date(reading.at).toISOString() })), next }
    },
  )
}
