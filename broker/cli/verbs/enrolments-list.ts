import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'
import type { EnrolmentDocument } from './enrolments-show.ts'

interface Options extends CommonOptions {
  all?: boolean
}

/** `adit-broker enrolments list` */
export function enrolmentsList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list the requests that wait for a person', [
    'adit-broker enrolments list',
    'adit-broker enrolments list --all --json',
  ])
    .option('--all', 'also those that were decided in the last 30 days')
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<EnrolmentDocument[]>('enrolments.list', { all: options.all ?? false }), (requests) =>
        requests.length === 0 ? 'Nobody waits.\n' : table([heading, ...requests.map(row)]),
      )
    })
}

const heading = ['REQUEST', 'STATE', 'ROLE', 'NAME', 'SERIAL', 'KEY', 'FROM', 'ASKED']

const row = (r: EnrolmentDocument): string[] => [
  String(r.id),
  r.state,
  r.role,
  r.name ?? '-',
  r.serial ?? '-',
  r.key,
  r.from,
  r.asked,
]
