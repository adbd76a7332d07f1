import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'
import type { PrincipalDocument } from './device-list.ts'

/** `adit-broker operator list` */
export function operatorList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list the operators that are not revoked', ['adit-broker operator list']).action(
    async (options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<PrincipalDocument[]>('operator.list', {}), (operators) =>
        table([
          ['OPERATOR', 'STATE', 'ADMIN', 'GROUPS', 'ADDRESSES', 'EXPIRES'],
          ...operators.map((operator) => [
            operator.name,
            operator.state,
            operator.admin ? 'yes' : 'no',
            operator.groups?.join(' ') ?? '',
            operator.addresses.join(' '),
            operator.expires ?? 'never',
          ]),
        ]),
      )
    },
  )
}
