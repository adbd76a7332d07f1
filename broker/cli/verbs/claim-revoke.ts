import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker claim revoke` */
export function claimRevoke(parent: Command, terminal: Terminal): void {
  verb(parent, 'revoke <id>', 'make a claim useless; what it enrolled stays', [
    'adit-broker claim revoke 0123456789abcdef',
  ]).action(async (id: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<{ id: string }>('claim.revoke', { id }), (claim) => `claim ${claim.id} revoked\n`)
  })
}
