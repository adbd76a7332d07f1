import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'
import type { EnrolmentDocument } from './enrolments-show.ts'

interface Options extends CommonOptions {
  reason: string
}

/** `adit-broker enrolments deny REQUEST --reason TEXT` */
export function enrolmentsDeny(parent: Command, terminal: Terminal): void {
  verb(parent, 'deny <request>', 'refuse the asker, and tell it why', [
    'adit-broker enrolments deny 17 --reason "this board is not in the order"',
  ])
    .requiredOption('--reason <text>', 'why: whoever asks is told, and the audit log keeps it')
    .action(async (request: string, options: Options) => {
      const desk = deskOf(terminal, options)
      const denied = await desk.ask<EnrolmentDocument>('enrolments.deny', { id: count(request), reason: options.reason })
      desk.print(denied, ({ id, reason }) => `${printable(`request ${id} denied: ${reason}`)}\n`)
    })
}
