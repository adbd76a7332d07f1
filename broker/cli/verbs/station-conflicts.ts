import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  all?: boolean
}

interface Sides {
  what: string
  station?: string
  unit?: string
  name?: string
  certificate?: string
  since?: string
}

interface Conflict {
  id: number
  at: string
  kind: string
  ours: Sides
  other: Sides
  solved: string | null
}

/** `adit-broker station conflicts` */
export function stationConflicts(parent: Command, terminal: Terminal): void {
  verb(parent, 'conflicts', 'units of factory lines that do not fit, each with what stands against it', [
    'adit-broker station conflicts',
    'adit-broker station conflicts --all --json',
  ])
    .option('--all', 'those that were solved since, too')
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const conflicts = await desk.ask<Conflict[]>('station.conflicts', { all: options.all ?? false })
      desk.print(conflicts, (list) => (list.length === 0 ? 'no conflicts\n' : list.map(describe).join('')))
    })
}

const describe = ({ id, at, kind, ours, other, solved }: Conflict): string =>
  `${printable(`${id}  ${kind}  ${at}${solved === null ? '' : `  solved ${solved}`}`)}\n${side('  one:  ', ours)}${side('  other:', other)}`

const side = (label: string, { what, unit, certificate, since }: Sides): string => {
  const facts = [unit && `board ${unit}`, certificate && `certificate ${certificate}`, since && `since ${since}`].filter(Boolean)
  return `${printable(`${label} ${what}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`)}\n`
}
