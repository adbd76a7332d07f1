import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** By which key a station vouches for its devices, under a delegation of the fleet key. */
export const stationKeys: Statements = [sql`ALTER TABLE delegations ADD COLUMN statement_key TEXT`]
