import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'

/** `adit-broker grant revoke` */
export function grantRevoke(parent: Command, terminal: Terminal): void {
  const command = verb(parent, 'revoke', 'take a grant back; sessions that live by it end within a second', [
    'adit-broker grant revoke 3',
  ])
  command.argument('<id>', 'number, as grant list shows it', count).action(async (id: number, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<{ id: number }>('grant.revoke', { id }), (grant) => `grant ${grant.id} revoked\n`)
  })
}
