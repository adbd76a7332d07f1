import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { toHex } from '#shared/bytes/hex.ts'
import { hours } from '#shared/time/instant.ts'
import { nothing, type Operation, operation } from '../operation.ts'

/** In the data folder; a dot keeps it out of backups. */
const prefix = '.snapshot-'
/** A snapshot whose command was killed. */
const staleAfter = hours(24)

export const backupOperations: Record<string, Operation> = {
  /** A copy of the registry in the data folder, for the command to seal: the broker goes on meanwhile. */
  'backup.snapshot': operation(nothing, async ({ dataDir, registry, authority, suite, clock, version, actor }) => {
    for (const name of await readdir(dataDir)) {
      if (!name.startsWith(prefix)) continue
      const facts = await stat(join(dataDir, name)).catch(() => undefined)
      if (facts && clock.wall() - facts.mtimeMs > staleAfter) await rm(join(dataDir, name), { force: true })
    }
    const { own } = registry.incarnation
    const name = `${prefix}${toHex(suite.random(8))}`
    await registry.audit.append({ actor, action: 'broker.backup', subject: 'broker', detail: { epoch: own.epoch } })
    await registry.snapshot(join(dataDir, name))
    return { name, made: clock.wall(), by: version, fleet: toHex(authority.fleetId), incarnation: own }
  }),
  'backup.discard': operation(
    z.strictObject({ name: z.string().regex(/^\.snapshot-[0-9a-f]{16}$/) }),
    async ({ dataDir }, { name }) => {
      await rm(join(dataDir, name), { force: true })
      return {}
    },
  ),
  /** Somebody has looked into the other brokers that agents have met. */
  'broker.forget-twins': operation(nothing, async ({ registry, actor }) => {
    const { twins } = registry.incarnation
    await registry.incarnation.forget()
    await registry.audit.append({ actor, action: 'broker.forget-twins', subject: 'broker', detail: { twins: twins.length } })
    return { forgotten: twins.length }
  }),
}
