import { type Kysely, type Migration, type MigrationProvider, Migrator, type sql } from 'kysely'
import { AditError } from '#shared/errors.ts'
import { first } from './0001-first.ts'
import { ipsec } from './0002-ipsec.ts'
import { statements } from './0003-statements.ts'
import { diagnoses } from './0004-diagnoses.ts'
import { data } from './0005-data.ts'
import { stations } from './0006-stations.ts'
import { factory } from './0007-factory.ts'
import { enrolments } from './0008-enrolments.ts'
import { ca } from './0009-ca.ts'
import { lifecycle } from './0010-lifecycle.ts'
import { ratchet } from './0011-ratchet.ts'
import { lanes } from './0012-lanes.ts'
import { stationKeys } from './0013-station-keys.ts'

/** One step of the schema's history. */
export type Statements = readonly ReturnType<typeof sql>[]

/**
 * The schema's history, in the order of the names. A migration that has been released is never changed: a new one is added below it.
 * Each runs in one transaction, so that a power cut leaves the schema before it or after it.
 */
const history: Record<string, Statements> = {
  '0001-first': first,
  '0002-ipsec': ipsec,
  '0003-statements': statements,
  '0004-diagnoses': diagnoses,
  '0005-data': data,
  '0006-stations': stations,
  '0007-factory': factory,
  '0008-enrolments': enrolments,
  '0009-ca': ca,
  '0010-lifecycle': lifecycle,
  '0011-ratchet': ratchet,
  '0012-lanes': lanes,
  '0013-station-keys': stationKeys,
}

const migrations: Record<string, Migration> = Object.fromEntries(
  Object.entries(history).map(([name, statements]) => [name, { up: (db) => runAll(db, statements) }]),
)

async function runAll(db: Kysely<unknown>, statements: Statements): Promise<void> {
  for (const statement of statements) await statement.execute(db)
}

const provider: MigrationProvider = { getMigrations: async () => migrations }

/** Brings the schema up to this program's, or to the step `upTo`, as an older release left it; throws AditError `storage-failed` where a younger program has been here. */
export async function migrate<Tables>(db: Kysely<Tables>, upTo?: string): Promise<void> {
  const migrator = new Migrator({ db, provider })
  const { error } = await (upTo === undefined ? migrator.migrateToLatest() : migrator.migrateTo(upTo))
  if (error === undefined) return
  if (error instanceof AditError) throw error
  const reason = error instanceof Error ? error.message : String(error)
  throw new AditError('storage-failed', `The registry's schema cannot be brought up to date: ${reason}.`, newerProgram, {
    cause: error,
  })
}

const newerProgram = 'Use the newest adit-broker that this data folder has seen, or restore a backup from before it.'
