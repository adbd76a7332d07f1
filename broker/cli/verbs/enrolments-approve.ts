import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, count, deskOf, verb } from '../verb.ts'
import type { EnrolmentDocument } from './enrolments-show.ts'

interface Options extends CommonOptions {
  name?: string
  tag?: string[]
}

/** `adit-broker enrolments approve REQUEST…` */
export function enrolmentsApprove(parent: Command, terminal: Terminal): void {
  verb(parent, 'approve <request>', 'let the asker in: it gets its certificate when it asks again', [
    'adit-broker enrolments approve 17',
    'adit-broker enrolments approve 17 --name pi-kitchen --tag site:oslo',
  ])
    .option('--name <name>', 'its name, instead of the one that the claim gives')
    .option('--tag <tag>', "tag besides the claim's; repeatable", collect)
    .action(async (request: string, options: Options) => {
      const desk = deskOf(terminal, options)
      const { name, tag: tags = [] } = options
      const approved = await desk.ask<EnrolmentDocument>('enrolments.approve', { id: count(request), name, tags })
      desk.print(approved, ({ id, name, key }) =>
        printable(`request ${id} approved${name === null ? '' : ` as ${name}`}; its key is ${key}`).concat('\n'),
      )
    })
}
