import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'

/** What a maker has said of one board. On disk before the board or its owner hears of it: nothing is ever said twice differently. */
export interface BoardRecord {
  readonly serial: string
  readonly idevids: readonly {
    /** SHA-256 of the SPKI, hex. */
    readonly spki: string
    /** ms since 1970. */
    readonly at: number
    /** Left out: the first one. */
    readonly reason?: string
  }[]
  readonly vouchers: readonly {
    /** ms since 1970, of the whole second; each later than the one before. */
    readonly createdOn: number
    /** SHA-256 of the owner's root, hex. */
    readonly owner: string
    /** SHA-256 of the voucher's JSON, hex. */
    readonly digest: string
  }[]
}

/** Of a board that was never seen, an empty one. Throws AditError `storage-failed` for one that is damaged. */
export async function readBoard(folder: string, serial: string): Promise<BoardRecord> {
  const path = boardPath(folder, serial)
  const bytes = await readIfPresent(path)
  if (bytes === undefined) return { serial, idevids: [], vouchers: [] }
  try {
    const record = JSON.parse(Buffer.from(bytes).toString('utf8')) as BoardRecord
    if (record.serial === serial && Array.isArray(record.idevids) && Array.isArray(record.vouchers)) return record
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new AditError('storage-failed', `${path} is damaged.`, 'Restore it from a backup of the factory folder.')
}

export const writeBoard = (folder: string, record: BoardRecord): Promise<void> =>
  writeDurably(boardPath(folder, record.serial), `${JSON.stringify(record, null, 2)}\n`)

/** Serial numbers of every board, sorted. */
export async function listBoards(folder: string): Promise<string[]> {
  const files = await readdir(join(folder, 'boards')).catch(() => [] as string[])
  return files
    .filter((name) => name.endsWith('.json') && !name.endsWith('.tmp'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort()
}

const boardPath = (folder: string, serial: string): string => join(folder, 'boards', `${serial}.json`)
