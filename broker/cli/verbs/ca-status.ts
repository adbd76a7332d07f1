import type { Command } from 'commander'
import { AditError } from '#shared/errors.ts'
import { type CaStatus, caWords } from '../ca-words.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  check?: boolean
}

/** `adit-broker ca status`: what there is, until when, and what to do next. */
export function caStatusVerb(parent: Command, terminal: Terminal): void {
  verb(parent, 'status', 'the authorities: until when, how far a rotation has come, who is behind, what to do next', [
    'adit-broker ca status',
    'adit-broker ca status --check || mail -s "adit: see to the CA" ann',
  ])
    .option('--check', 'end with status 3 where something is to be done now (code ca-due)')
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const status = await desk.ask<CaStatus>('ca.status', {})
      desk.print(status, caWords)
      if (options.check && status.due) throw new AditError('ca-due', 'Something is to be done.', status.advice.join(' '))
    })
}
