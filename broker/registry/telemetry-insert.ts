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
  const { rows } = await sql<{ id: number; readings: number }>`WITH
      batch (id, device, boot, first_seq, last_seq) AS MATERIALIZED (
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(${json})),
      counted AS MATERIALIZED (
        SELECT batch.*, (SELECT count(*) FROM telemetry t WHERE t.device = batch.device AND t.boot = batch.boot
          AND t.seq BETWEEN batch.first_seq AND batch.last_seq AND t.arrival = batch.id) AS readings FROM batch)
    INSERT INTO arrivals (id, device, boot, first_seq, last_seq, readings, received_at)
    SELECT id, device, boot, first_seq, last_seq, readings, ${receivedAt} FROM counted WHERE readings > 0
    RETURNING id, readings`.execute(transaction)
  return new Map(rows.map(({ id, readings }) => [id, readings]))
}
