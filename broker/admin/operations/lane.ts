import { z } from 'zod'
import type { Principal } from '#broker/registry/principal.ts'
import { AditError } from '#shared/errors.ts'
import { days } from '#shared/time/instant.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { milliseconds, nothing, type Operation, operation } from '../operation.ts'

const readmission = z.strictObject({ name: z.string(), lasting: milliseconds.default(days(30)) })

/** How a device that is away may renew, and until when. */
interface WayBack {
  /** `board`: its board has an IDevID, which has no end. */
  readonly lane: 'renewal' | 'readmitted' | 'shelf' | 'board'
  /** Wall-clock ms; undefined: for ever. */
  readonly until: number | undefined
}

export const laneOperations: Record<string, Operation> = {
  /** Whose certificate has expired, in which lane and until when it may renew, and who has come back of late. */
  'lane.list': operation(nothing, async (office) => {
    const { registry, clock, config } = office
    const now = clock.wall()
    const away = registry.devices
      .list()
      .filter((device) => device.revokedAt === undefined && !device.stock && (device.expiresAt ?? now) < now)
    const wayOf = await waysBack(away, now, office)
    const waiting = away.map((device) => {
      const { lane, until } = wayOf(device)
      return {
        name: device.name,
        expired: isoTime(device.expiresAt ?? now),
        lane,
        until: isoTime(until),
        open: until === undefined || now <= until,
        readmitted: isoTime(registry.lane.readmittedUntil(device.id)),
      }
    })
    const returned = (await registry.lane.returns()).map(({ principalId, expiredAt, at, lane }) => ({
      name: registry.directory.byId(principalId)?.name ?? null,
      expired: isoTime(expiredAt),
      returned: isoTime(at),
      lane,
    }))
    return { days: config.renewDays, shelfDays: config.shelfDays, waiting, returned }
  }),
  'device.readmit': operation(readmission, async ({ registry, clock, actor }, { name, lasting }) => {
    const device = registry.devices.get(name)
    if (device.revokedAt !== undefined)
      throw new AditError('device-revoked', `${device.name} is revoked.`, 'Enrol it again with a new claim.')
    const until = clock.wall() + lasting
    await registry.lane.readmit(device, until, actor)
    return { name: device.name, expired: isoTime(device.expiresAt), until: isoTime(until) }
  }),
}

/** Of all ways back that a device has, the one that is open longest. */
async function waysBack(
  away: readonly Principal[],
  now: number,
  { registry, config }: Pick<Office, 'registry' | 'config'>,
): Promise<(device: Principal) => WayBack> {
  const spares = await registry.lane.neverRenewed(config.shelfDays > config.renewDays ? away.map(({ id }) => id) : [])
  const boards = new Set((await registry.vouchers.list()).map(({ principalId }) => principalId))
  return ({ id, expiresAt = now }) => {
    if (boards.has(id)) return { lane: 'board', until: undefined }
    const readmitted = registry.lane.readmittedUntil(id) ?? 0
    const way: WayBack = spares.has(id)
      ? { lane: 'shelf', until: expiresAt + days(config.shelfDays) }
      : { lane: 'renewal', until: expiresAt + days(config.renewDays) }
    return readmitted > (way.until ?? 0) ? { lane: 'readmitted', until: readmitted } : way
  }
}
