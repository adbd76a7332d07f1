import { z } from 'zod'
import { toHex } from '#shared/bytes/hex.ts'
import { isoTime } from '../iso-time.ts'
import { nothing, type Operation, operation } from '../operation.ts'

const auditQuery = z.strictObject({
  after: z.int().min(0).optional(),
  limit: z.int().min(1).max(1_000).default(100),
})

export const brokerOperations: Record<string, Operation> = {
  /** The same fields whether a broker runs or not; a running one adds its own. */
  status: operation(nothing, ({ registry, version, liveStatus }) => {
    const live = liveStatus()
    const devices = registry.devices.list().filter(({ revokedAt }) => revokedAt === undefined).length
    const { fleet } = registry
    const still = {
      inner: fleet.broker,
      devices,
      sessions: 0,
      version,
      fleet: fleet.prefix,
      readings: registry.telemetry.stored,
      clones: registry.clones.open,
    }
    const { own, twins } = registry.incarnation
    const others = twins.map(({ at, ...twin }) => ({ ...twin, at: isoTime(at) }))
    return { running: live !== undefined, ...still, ...live, incarnation: own, twins: others }
  }),
  /** The newest rows, or with `after` those that follow. */
  audit: operation(auditQuery, async ({ registry }, { after, limit }) => {
    const rows = await registry.audit.query(after === undefined ? { limit, newest: true } : { after, limit })
    return rows.map(({ id, at, actor, action, subject, detail }) => ({
      id,
      at: isoTime(at),
      actor,
      action,
      subject,
      detail: detail ?? {},
    }))
  }),
  'ca.show': operation(nothing, ({ authority }) => ({
    fingerprint: toHex(authority.rootFingerprint),
    certificate: pem(authority.rootDer),
    tunnelKey: Buffer.from(authority.tunnelKey.publicKey).toString('base64'),
  })),
}

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
