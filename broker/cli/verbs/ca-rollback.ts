import type { Command } from 'commander'
import { type CaStatus, caWords } from '../ca-words.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'
import { lineArgument } from './ca-rotate.ts'

/** `adit-broker ca rollback LINE`: one phase back. */
export function caRollback(parent: Command, terminal: Terminal): void {
  verb(parent, 'rollback', 'take a rotation one phase back; from prepared, or a request that waits, to none at all', [
    'adit-broker ca rollback device',
  ])
    .addArgument(lineArgument())
    .option('--force', 'though some hold what is then believed no more')
    .action(async (line: string, options: CommonOptions & { force?: boolean }) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<CaStatus>('ca.rollback', { line, force: options.force ?? false }), caWords)
    })
}
