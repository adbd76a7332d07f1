import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { AditError } from '#shared/errors.ts'
import { writeDurably } from '#shared/platform/files.ts'
import { unreadableFile } from '#shared/platform/unreadable-file.ts'

/** What waits for a signature, out of a file or, for `-`, of standard input: any JSON. Throws AditError `usage`. */
export async function readPendingFile(file: string): Promise<unknown> {
  const said = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8').catch(unreadableFile(file, nameIt))
  try {
    return JSON.parse(said)
  } catch (cause) {
    throw new AditError('usage', `${file} is no list of statements to sign.`, 'Make it with: adit-broker fleet pending --json.', {
      cause,
    })
  }
}

/** What was signed, for adit-broker fleet import. Throws AditError `storage-failed`. */
export const writeSignedFile = (file: string, signed: string): Promise<void> => writeDurably(resolve(file), signed)

const nameIt = 'Name the file that adit-broker fleet pending --json has written.'
