import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Authority } from '#broker/identity/authority.ts'
import { AddressPlan } from '#broker/registry/address-plan.ts'
import { Directory } from '#broker/registry/directory.ts'
import { enlist } from '#broker/registry/enlist.ts'
import { PeerSecrets } from '#broker/registry/peer-secrets.ts'
import { Registry } from '#broker/registry/registry.ts'
import type { Tables } from '#broker/registry/schema.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { queryBuilder } from '#shared/platform/sqlite-dialect.ts'
import type { FleetOrder } from '#test/bench/fleet-child.ts'

/** A data folder with registered devices, and what they need to know of its broker, but for its endpoint. */
export interface FleetData {
  readonly folder: string
  readonly devices: FleetOrder['devices']
  readonly broker: Omit<FleetOrder['broker'], 'endpoint'>
  remove(): void
}

const ports = { clock: systemClock, suite: nativeSuite, log: silentLog }
const perTransaction = 500

/** `count` devices in a new data folder: the rows of any registration, but hundreds in a transaction. */
export async function fleetData(count: number): Promise<FleetData> {
  const parent = mkdtempSync(join(process.env.ADIT_BENCH_DIR ?? tmpdir(), 'adit-fleet-'))
  const folder = join(parent, 'data')
  const { tunnelKey } = await Authority.openOrCreate(folder, ports)
  const registry = await Registry.open(folder, ports)
  const { fleet } = registry
  await registry.close()
  const database = await openDatabase(join(folder, 'adit.db'))
  const db = queryBuilder<Tables>(database)
  const context = {
    ...ports,
    db,
    directory: new Directory(),
    addresses: new AddressPlan(fleet.prefix, []),
    secrets: new PeerSecrets(),
    changed: () => undefined,
  }
  const devices: FleetOrder['devices'] = []
  while (devices.length < count) {
    await db.transaction().execute(async (transaction) => {
      for (let n = 0; n < perTransaction && devices.length < count; n++) {
        const { publicKey, privateKey } = nativeSuite.x25519.generate()
        const { name, addresses } = await enlist(context, transaction, {
          kind: 'device',
          name: `d-${devices.length}`,
          tunnelKey: toHex(publicKey),
          tags: ['bench'],
          groups: [],
          admin: false,
          stock: true,
          expiresAt: null,
        })
        devices.push({ name, privateKey: toHex(privateKey), addresses: [...addresses] })
      }
    })
  }
  await database.close()
  const broker = { tunnelKey: toHex(tunnelKey.publicKey), inner: [...fleet.broker], routes: [...fleet.routes] }
  return { folder, devices, broker, remove: () => rmSync(parent, { recursive: true }) }
}
