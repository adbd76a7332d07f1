import type { RevocationReason } from '#shared/pki/revocation-reason.ts'
import { writeAudit } from './audit-log.ts'
import { type GrantStore, withdrawTarget } from './grants.ts'
import type { Principal } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import type { PrincipalStore } from './principals.ts'
import type { StoreContext } from './store-context.ts'
import type { TelemetryStore } from './telemetry.ts'

export interface RetirementWords {
  /** In a person's words, for the audit. */
  readonly reason: string
  /** For the lists that outsiders read. */
  readonly revocation?: RevocationReason
  readonly keepReadings: boolean
}

/** What went with a device. */
export interface Retired {
  readonly principal: Principal
  readonly readings: number
  readonly grants: number
}

/** Arrivals in one step: a few ms of the writer's time. */
const stepArrivals = 100

/**
 * The end of a device in the registry. It is revoked; what is known of it goes: grants that name it, host keys, whereabouts, diagnoses,
 * data use, tags, and its readings unless they are kept. What stays is what must: the audit, and under its number the hashes of its keys
 * and its certificates, so that neither comes back and outsiders are told that they are revoked. Its name is free.
 */
export class Retirement {
  readonly #context: StoreContext
  readonly #devices: PrincipalStore
  readonly #grants: GrantStore
  readonly #telemetry: TelemetryStore

  constructor(context: StoreContext, stores: { devices: PrincipalStore; grants: GrantStore; telemetry: TelemetryStore }) {
    this.#context = context
    this.#devices = stores.devices
    this.#grants = stores.grants
    this.#telemetry = stores.telemetry
  }

  /** Can be done again after a power cut, or to a device that was revoked: each step finds what is left. */
  async retire(device: Principal, words: RetirementWords, actor: string): Promise<Retired> {
    const { db, clock } = this.#context
    const { reason, revocation = 'cessation-of-operation', keepReadings } = words
    if (device.revokedAt === undefined) await this.#devices.revoke(device.name, actor, revocation)
    const now = clock.wall()
    const { principal, grants } = await db.transaction().execute(async (transaction) => {
      const { id, name, tunnelKey } = device
      // Another device may have the name by now, and the grants to it.
      const isNameFree = (this.#context.directory.byName('device', name)?.id ?? id) === id
      const withdrawn = isNameFree ? await withdrawTarget(transaction, name, now) : 0
      await transaction.deleteFrom('host_keys').where('device_id', '=', id).execute()
      for (const table of ['endpoints', 'diagnoses', 'data_use', 'tags', 'negotiations'] as const)
        await transaction.deleteFrom(table).where('principal_id', '=', id).execute()
      if (tunnelKey !== undefined) await transaction.deleteFrom('tunnel_timestamps').where('tunnel_key', '=', tunnelKey).execute()
      await transaction.updateTable('principals').set({ data_plan: null }).where('id', '=', id).execute()
      const detail = { reason, keepReadings, grants: withdrawn }
      await writeAudit(transaction, now, { actor, action: 'device.retire', subject: `device:${name}`, detail, deviceId: id })
      return { principal: await loadPrincipal(transaction, id), grants: withdrawn }
    })
    this.#context.changed({ kind: 'revoked', principal })
    if (grants > 0) {
      await this.#grants.reload()
      this.#context.changed({ kind: 'grants' })
    }
    let readings = 0
    if (!keepReadings) {
      for (;;) {
        const gone = await this.#telemetry.forget(device.id, stepArrivals)
        if (gone === undefined) break
        readings += gone
      }
    }
    return { principal, readings, grants }
  }
}
