import { AditError } from '#shared/errors.ts'

/** Where a follower stands: behind the reading `seq` of an arrival. Written `ARRIVAL.SEQ`; opaque to its bearer. */
export interface TelemetryCursor {
  readonly arrival: number
  readonly seq: number
}

export const encodeCursor = ({ arrival, seq }: TelemetryCursor): string => `${arrival}.${seq}`

/** The beginning where undefined; throws AditError `usage` on a text that no answer ever gave. */
export function readCursor(text: string | undefined): TelemetryCursor {
  if (text === undefined || text === '') return { arrival: 0, seq: 0 }
  const match = /^(\d{1,15})\.(\d{1,16})$/.exec(text)
  if (!match)
    throw new AditError('usage', 'That cursor is none of ours.', 'Give `next` of the answer before, or no cursor at all.')
  return { arrival: Number(match[1]), seq: Number(match[2]) }
}
