import { neverOpened } from '#agent/station/core/unit-words.ts'
import type { StationDesk } from '#agent/station/io/station-desk.ts'
import { serialOfScan } from '#agent/station/labels/label.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { isAditError } from '#shared/errors.ts'

/** The unit of a serial number, of a name, or of the text of a label. Throws AditError `unit-unknown`. */
export async function unitOf(desk: StationDesk, text: string): Promise<UnitRecord> {
  const serial = serialOfScan(text)
  const found = (await recordOf(desk, serial)) ?? (await desk.records()).find(({ name }) => name === text.toLowerCase())
  if (found) return found
  throw neverOpened(serial)
}

async function recordOf(desk: StationDesk, serial: string): Promise<UnitRecord | undefined> {
  try {
    return await desk.record(serial)
  } catch (error) {
    if (isAditError(error) && error.code === 'serial-invalid') return undefined
    throw error
  }
}
