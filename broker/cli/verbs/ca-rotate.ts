import { Argument, type Command, Option } from 'commander'
import { type CaStatus, caWords } from '../ca-words.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  phase?: string
  compromised?: boolean
  force?: boolean
}

export const lineArgument = (): Argument =>
  new Argument('<line>', 'the root, or the CA of a role').choices(['root', 'device', 'operator', 'station', 'api'])

/** `adit-broker ca rotate LINE`: one phase on. */
export function caRotate(parent: Command, terminal: Terminal): void {
  verb(parent, 'rotate', 'replace an authority, one phase at a time: prepared, trusted, issuing, retired, finished', [
    'adit-broker ca rotate device                     # the next phase, whichever it is',
    'adit-broker ca rotate device --phase issuing',
    'adit-broker ca rotate root --phase retired',
    'adit-broker ca rotate device --phase retired --compromised --force',
  ])
    .addArgument(lineArgument())
    .addOption(
      new Option('--phase <phase>', 'which; left out: the one that follows').choices([
        ...['prepared', 'trusted', 'issuing', 'retired', 'finished'],
      ]),
    )
    .option('--compromised', "the former one's key is in strange hands: what it signed may not even renew")
    .option('--force', 'retire though some have not moved: they renew when they come')
    .action(async (line: string, options: Options) => {
      const desk = deskOf(terminal, options)
      const { phase, compromised = false, force = false } = options
      desk.print(await desk.ask<CaStatus>('ca.rotate', { line, phase, compromised, force }), caWords)
    })
}
