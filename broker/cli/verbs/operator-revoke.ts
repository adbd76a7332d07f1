import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker operator revoke` */
export function operatorRevoke(parent: Command, terminal: Terminal): void {
  verb(parent, 'revoke <name>', 'shut an operator out for ever, and take back what was granted to that name', [
    'adit-broker operator revoke ann',
  ]).action(async (name: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<{ name: string }>('operator.revoke', { name }), (operator) => `operator ${operator.name} revoked\n`)
  })
}
