import type { LastWord } from '#broker/enrolment/last-word.ts'
import type { Station } from '#broker/stations/station.ts'
import type { Conflict } from '#broker/stations/station-unit.ts'
import { isAditError } from '#shared/errors.ts'

/** What is known of a unit when the fleet's hook is asked for its word on it. */
export interface AskedUnit {
  readonly name: string
  /** The board's serial number, where its station has said it. */
  readonly unit?: string | undefined
  /** SHA-256 of the SPKI of its identity key, hex. */
  readonly spkiSha256Hex: string
}

/** Tags beside those of the delegation, or why it does not come in. */
export type UnitWord = { readonly tags: readonly string[] } | { readonly conflict: Conflict }

/**
 * The hook's word on a unit of a station: the same question as for any enrolment, under the right `station:STATION/SERIAL`, or
 * `station:STATION` while the station has not said which board it is. `address`: from where the request came that this is about. Throws
 * AditError `hook-failed` where there is no verdict: nobody comes in then.
 */
export async function wordOn(
  lastWord: LastWord,
  station: Station,
  { name, unit, spkiSha256Hex: key }: AskedUnit,
  address: string,
): Promise<UnitWord> {
  const right = `station:${station.station}${unit === undefined ? '' : `/${unit}`}`
  try {
    const question = { role: 'device', name, serial: unit ?? null, key, right, address, tags: station.tags }
    const { name: wished, tags = [] } = (await lastWord.on(question)) ?? {}
    const conflict = renamed(name, wished)
    return conflict ? { conflict } : { tags }
  } catch (error) {
    if (!isAditError(error) || error.code !== 'enrolment-denied') throw error
    return {
      conflict: { kind: 'hook-denied', other: { what: error.message.replace(/^The/, 'the').replace(/\.$/, ''), unit, name } },
    }
  }
}

/**
 * A hook that wants another name than the station gave cannot have it: certificate, ledger and label say the one name, and by it the board
 * is known on the line. So it is not let in under a name that the hook did not mean.
 */
export function renamed(name: string, wished: string | undefined): Conflict | undefined {
  if (wished === undefined || wished === name) return undefined
  const what = `the fleet's enrolment hook calls it ${wished}, and its station ${name}`
  return { kind: 'hook-renamed', other: { what, name: wished } }
}
