import { CompiledQuery, sql } from 'kysely'
import type { PackedReadings } from './packed-readings.ts'
import { fields, recordLength } from './packed-readings.ts'
import type { WriteTransaction } from './store-context.ts'

/** One batch on its way in. */
export interface Arrival {
  readonly id: number
  readonly device: number
  readonly boot: number
  readonly firstSeq: number
  readonly lastSeq: number
}

/** A number of the record that begins at `place`. */
const number = (field: keyof typeof fields): string => {
  const { at, width } = fields[field]
  return `CAST(substr(?1, place + ${at}, ${width}) AS INTEGER)`
}
const bytes = (start: keyof typeof fields, length: keyof typeof fields): string =>
  `substr(?2, ${number(start)}, ${number(length)})`

const insertText = `INSERT INTO telemetry (device, boot, seq, arrival, name, unit, at, quality, value)
  WITH RECURSIVE record (place) AS (SELECT 1 UNION ALL SELECT place + ${recordLength} FROM record WHERE place + ${recordLength} < ?3)
  SELECT ${number('device')}, ${number('boot')}, ${number('seq')}, ${number('arrival')},
    CAST(${bytes('nameStart', 'nameLength')} AS TEXT),
    CASE ${number('unitStart')} WHEN 0 THEN NULL ELSE CAST(${bytes('unitStart', 'unitLength')} AS TEXT) END,
    ${number('at')}, ${number('quality')}, ${bytes('valueStart', 'valueLength')}
  FROM record WHERE true
  ON CONFLICT (device, boot, seq) DO NOTHING`

/** Inserts readings, leaving out those that are there. */
export async function insertReadings(transaction: WriteTransaction, packed: PackedReadings): Promise<void> {
  const { records, heap } = packed
  await transaction.executeQuery(CompiledQuery.raw(insertText, [records, heap, records.length]))
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
