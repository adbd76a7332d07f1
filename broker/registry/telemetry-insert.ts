import { sql } from 'kysely'
import type { WriteTransaction } from './store-context.ts'

/** One batch on its way in. */
export interface Arrival {
  readonly id: number
  readonly device: number
  readonly boot: number
  readonly firstSeq: number
  readonly lastSeq: number
}

/** Rows in one statement at most: its JSON text stays well below a megabyte. */
const chunkRows = 4_000

/**
 * Inserts readings, leaving out those that are there. Rows travel as one JSON text and values as one blob, of which each row names its
 * piece: two parameters instead of nine a row, so that the event loop spends its time on packets and not on binding.
 * Row: [device, boot, seq, arrival, name, unit, at, quality, start (from 1), length].
 */
export async function insertReadings(
  transaction: WriteTransaction,
  rows: readonly (readonly (string | number | null)[])[],
  values: Uint8Array,
): Promise<void> {
  for (let at = 0; at < rows.length; at += chunkRows) {
    const json = JSON.stringify(rows.slice(at, at + chunkRows))
    await sql`INSERT INTO telemetry (device, boot, seq, arrival, name, unit, at, quality, value)
      SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
        substr(${values}, value->>8, value->>9)
      FROM json_each(${json}) WHERE true
      ON CONFLICT (device, boot, seq) DO NOTHING`.execute(transaction)
  }
}

/** Records the arrivals that brought something new, and gives for each of these how many readings were new. */
export async function insertArrivals(
  transaction: WriteTransaction,
  arrivals: readonly Arrival[],
  receivedAt: number,
): Promise<Map<number, number>> {
  const json = JSON.stringify(arrivals.map((a) => [a.id, a.device, a.boot, a.firstSeq, a.lastSeq]))
  const { rows } = await sql<{ id: number; readings: number }>`INSERT INTO arrivals
      (id, device, boot, first_seq, last_seq, readings, received_at)
    SELECT id, device, boot, first_seq, last_seq, readings, ${receivedAt} FROM (
      SELECT j.value->>0 AS id, j.value->>1 AS device, j.value->>2 AS boot, j.value->>3 AS first_seq, j.value->>4 AS last_seq,
        (SELECT count(*) FROM telemetry t WHERE t.device = j.value->>1 AND t.boot = j.value->>2
          AND t.seq BETWEEN j.value->>3 AND j.value->>4 AND t.arrival = j.value->>0) AS readings
      FROM json_each(${json}) j)
    WHERE readings > 0
    RETURNING id, readings`.execute(transaction)
  return new Map(rows.map(({ id, readings }) => [id, readings]))
}
