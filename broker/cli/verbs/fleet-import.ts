import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { AditError } from '#shared/errors.ts'
import { isKeyStatement } from '#shared/fleet/statement.ts'
import { unreadableFile } from '#shared/platform/unreadable-file.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, type Desk, deskOf, verb } from '../verb.ts'

/** Characters of base64 in one question to a running broker. */
const batchLimit = 100_000

/** `adit-broker fleet import` */
export function fleetImport(parent: Command, terminal: Terminal): void {
  verb(parent, 'import <file>', 'take statements that the fleet key has signed elsewhere', [
    'adit-broker fleet import signed.json',
    'adit fleet sign --in pending.json --out - | adit-broker fleet import -',
  ]).action(async (file: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    let taken = 0
    let fingerprint = ''
    const all = [...batches(await statementsIn(file, desk))]
    // The file is taken whole or not at all, but for one that hands over to a new key, under which alone the rest of it counts.
    const handsOver = all.flat().some((statement) => isKeyStatement(Buffer.from(statement, 'base64')))
    if (all.length > 1 && !handsOver) for (const statements of all) await desk.ask('fleet.import', { statements, check: true })
    for (const statements of all) {
      const answer = await desk.ask<{ taken: number; fingerprint: string }>('fleet.import', { statements })
      taken += answer.taken
      fingerprint = answer.fingerprint
    }
    desk.print({ taken, fingerprint }, () => `${taken} statements taken, under the key ${fingerprint}\n`)
  })
}

async function statementsIn(file: string, desk: Desk): Promise<string[]> {
  const text = file === '-' ? await desk.readInput() : await readFile(file, 'utf8').catch(unreadableFile(file, nameIt))
  try {
    const { statements } = JSON.parse(text) as { statements?: unknown }
    if (Array.isArray(statements) && statements.every((item) => typeof item === 'string')) return statements
  } catch (cause) {
    throw notSigned(file, cause)
  }
  throw notSigned(file)
}

function* batches(statements: readonly string[]): Generator<string[]> {
  let batch: string[] = []
  let length = 0
  for (const statement of statements) {
    if (batch.length > 0 && length + statement.length > batchLimit) {
      yield batch
      batch = []
      length = 0
    }
    batch.push(statement)
    length += statement.length
  }
  yield batch
}

const nameIt = 'Name the file that adit fleet sign --out has written.'

const notSigned = (file: string, cause?: unknown): AditError =>
  new AditError('usage', `${file} holds no signed statements.`, 'Make it with: adit fleet sign --in pending.json --out FILE.', {
    cause,
  })
