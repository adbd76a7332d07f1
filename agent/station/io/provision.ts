import type { BatchUnit } from '#agent/station/core/batch-list.ts'
import type { StationDesk } from '#agent/station/io/station-desk.ts'
import type { LabelPrinter } from '#agent/station/labels/label-printer.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import type { Way } from '#agent/station/ways/way.ts'
import { type AditError, toAditError } from '#shared/errors.ts'

/** What became of one board. */
export type Outcome =
  | { readonly ok: true; readonly record: UnitRecord; readonly again: boolean }
  /** `retry`: the ledger has it as failed, so that another try finds it. */
  | { readonly ok: false; readonly serial: string; readonly error: AditError; readonly retry: boolean }

export interface Line {
  readonly desk: StationDesk
  readonly way: Way
  readonly printer: LabelPrinter | undefined
}

/**
 * One board from the counter to its label. A failure is in the ledger, with its cause, before it is told; a board that was delivered
 * before is left as it is (`again`). Never throws for a board's sake.
 */
export async function provisionUnit({ desk, way, printer }: Line, unit: BatchUnit, replaces?: string): Promise<Outcome> {
  const { serial, name } = unit
  try {
    const opened = await desk.open(serial, way.kind, {
      ...(name !== undefined && { name }),
      ...(replaces !== undefined && { replaces }),
    })
    if (opened.step === 'delivered') return { ok: true, record: opened, again: true }
    const evidence = await way.deliver(desk, serial)
    const record = await desk.delivered(serial, evidence)
    await printer?.print(serial)
    return { ok: true, record, again: false }
  } catch (thrown) {
    const error = toAditError(thrown)
    // What was refused at the counter was never begun.
    const begun = (await desk.record(serial).catch(() => undefined)) !== undefined
    const retry = begun && (await desk.failed(serial, error)).step === 'failed'
    return { ok: false, serial, error, retry }
  }
}
