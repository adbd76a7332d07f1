import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { AditError } from '#shared/errors.ts'

/** Longest passphrase, characters. */
const passphraseLimit = 1_024

/** A passphrase from a file's first line, or from the terminal without showing it. Throws AditError `usage`. */
export async function askPassphrase(file: string | undefined, { twice = false, of = 'the fleet key' } = {}): Promise<string> {
  if (file !== undefined)
    return checked(((await readFile(file, 'utf8').catch(noFile(file))).split('\n', 1)[0] ?? '').replace(/\r$/, ''))
  requireTerminal('--passphrase-file FILE')
  const first = checked(await hidden(`Passphrase of ${of}: `))
  if (twice && (await hidden('The same again: ')) !== first)
    throw new AditError('usage', 'The two passphrases differ.', 'Type the same one twice.')
  return first
}

/** Throws AditError `usage` where no person can be asked. `flag`: how to answer beforehand. */
export function requireTerminal(flag: string): void {
  if (process.stdin.isTTY) return
  throw new AditError('usage', 'There is no terminal to ask a person on.', `Give the answer beforehand: ${flag}.`)
}

async function hidden(question: string): Promise<string> {
  process.stderr.write(question)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await terminal.question('')
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}

function checked(passphrase: string): string {
  if (passphrase !== '' && passphrase.length <= passphraseLimit) return passphrase
  throw new AditError('usage', 'The passphrase is empty or too long.', 'Choose one of 1 to 1024 characters.')
}

const noFile =
  (file: string) =>
  (cause: unknown): never => {
    throw new AditError('usage', `${file} cannot be read.`, 'Name a file whose first line is the passphrase.', { cause })
  }
