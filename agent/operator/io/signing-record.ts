import { join } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'

/** STATE/fleet-signing.json: what the next signature must be above, and for which fleet the key has signed so far. */
export interface SigningRecord {
  /** The last version given. */
  readonly version: number
  /** SHA-256 of the fleet's root certificate, base64. */
  readonly fleet: string | undefined
}

const pathIn = (stateFolder: string): string => join(stateFolder, 'fleet-signing.json')

/** A lost record costs nothing: versions follow the clock. Throws `storage-failed` for one that is damaged. */
export async function readSigningRecord(stateFolder: string): Promise<SigningRecord> {
  const bytes = await readIfPresent(pathIn(stateFolder))
  if (bytes === undefined) return { version: 0, fleet: undefined }
  try {
    const { version, fleet } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>
    if (!Number.isSafeInteger(version) || (version as number) < 0) throw new TypeError('no version')
    return { version: version as number, fleet: typeof fleet === 'string' ? fleet : undefined }
  } catch (cause) {
    throw new AditError('storage-failed', `${pathIn(stateFolder)} is damaged.`, 'Remove it: versions follow the clock.', {
      cause,
    })
  }
}

/** Durable before a signature leaves: no version is given twice. */
export const writeSigningRecord = (stateFolder: string, record: SigningRecord): Promise<void> =>
  writeDurably(pathIn(stateFolder), `${JSON.stringify(record)}\n`)
