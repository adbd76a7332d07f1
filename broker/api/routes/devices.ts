import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { describeDevice, describeHostKeys, deviceDocument, hostKeysDocument, hostKeysOf } from '#broker/api/device-document.ts'
import { VisibleDevices } from '#broker/api/visible-devices.ts'
import { explain, whyDocument } from '#broker/api/why.ts'
import { AditError } from '#shared/errors.ts'
import { readStatement } from '#shared/fleet/statement.ts'

export const deviceName = z.object({ name: z.string().min(1).max(255) })

/** How long a device is given to answer a probe of `why`, ms. */
const probeMs = 3_000

const acceptBody = z.object({ service: z.string().min(1).max(64).default('ssh') }).default({ service: 'ssh' })

export function deviceRoutes(app: ApiServer, parts: ApiParts): void {
  const { registry, gateway, clock } = parts
  const visible = new VisibleDevices(registry)
  const access = { access: 'operator' } as const

  app.get(
    '/v1/devices',
    {
      config: access,
      schema: { summary: 'Devices of your grants', tags: ['devices'], response: { 200: z.array(deviceDocument) } },
    },
    (request) => {
      const now = clock.wall()
      const asker = callerOf(request).principal
      const devices = visible.all(asker, now)
      gateway.watch(devices)
      return Promise.all(devices.map((device) => describeDevice({ asker, device }, parts, now)))
    },
  )

  app.get(
    '/v1/devices/:name',
    {
      config: access,
      schema: { summary: 'One device', tags: ['devices'], params: deviceName, response: { 200: deviceDocument } },
    },
    async (request) => {
      const now = clock.wall()
      const asker = callerOf(request).principal
      const device = visible.one(asker, request.params.name, now)
      const { statements } = await parts.statements.forOperator(asker, device)
      const texts = statements.map((bytes) => Buffer.from(bytes).toString('base64'))
      gateway.watch([device])
      return { ...(await describeDevice({ asker, device }, parts, now)), statements: texts }
    },
  )

  app.get(
    '/v1/devices/:name/why',
    {
      config: access,
      schema: {
        summary: 'Walks the evidence and names the first broken link',
        tags: ['devices'],
        params: deviceName,
        querystring: z.object({ port: z.coerce.number().int().min(1).max(65535).default(22) }),
        response: { 200: whyDocument },
      },
    },
    async (request) => {
      const operator = callerOf(request).principal
      const device = visible.one(operator, request.params.name, clock.wall())
      const answered = device.revokedAt === undefined ? await gateway.probe(device, probeMs) : false
      const { statements } = await parts.statements.forOperator(operator, device)
      const isPinned = parts.registry.statements.pinned !== undefined
      const signed = isPinned ? statements.flatMap((bytes) => readStatement(bytes) ?? []) : undefined
      return explain({ operator, device, port: request.query.port, answered, signed }, parts, clock.wall())
    },
  )

  app.get(
    '/v1/devices/:name/host-keys',
    {
      config: access,
      schema: {
        summary: 'Pinned host keys by service',
        tags: ['devices'],
        params: deviceName,
        response: { 200: z.record(z.string(), hostKeysDocument) },
      },
    },
    (request) => hostKeysOf(visible.one(callerOf(request).principal, request.params.name, clock.wall()), registry.hostKeys),
  )

  app.post(
    '/v1/devices/:name/host-keys/accept',
    {
      config: access,
      schema: {
        summary: 'Pins the keys that the service shows now, in place of the old ones',
        tags: ['devices'],
        params: deviceName,
        body: acceptBody,
        response: { 200: hostKeysDocument },
      },
    },
    async (request) => {
      const { principal } = callerOf(request)
      const device = visible.one(principal, request.params.name, clock.wall())
      const { service } = request.body
      const before = (await registry.hostKeys.of(device.id)).find((keys) => keys.service === service)
      if (before?.offered === undefined) throw nothingToAccept(device.name, service)
      await registry.audit.append({
        actor: `operator:${principal.name}`,
        action: 'host-key.accept',
        subject: `device:${device.name}`,
        deviceId: device.id,
        detail: { service, keys: before.offered.keys },
      })
      const [accepted] = await registry.hostKeys.accept(device.id, service)
      return describeHostKeys(accepted ?? before)
    },
  )
}

const nothingToAccept = (device: string, service: string): AditError =>
  new AditError(
    'not-found',
    `No changed ${service} key of ${device} waits to be accepted.`,
    `See what is known of it: adit why ${device}.`,
  )
