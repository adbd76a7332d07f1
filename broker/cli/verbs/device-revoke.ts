import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker device revoke` */
export function deviceRevoke(parent: Command, terminal: Terminal): void {
  verb(parent, 'revoke <name>', 'shut a device out for ever: its keys, its certificates, its sessions within a second', [
    'adit-broker device revoke pi-7',
  ]).action(async (name: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<{ name: string }>('device.revoke', { name }), (device) => `device ${device.name} revoked\n`)
  })
}
