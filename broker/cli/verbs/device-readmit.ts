import type { Command } from 'commander'
import type { Duration } from '#shared/time/instant.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, duration, verb } from '../verb.ts'

/** `adit-broker device readmit` */
export function deviceReadmit(parent: Command, terminal: Terminal): void {
  verb(parent, 'readmit <name>', 'let a device renew by its own key whose certificate expired too long ago', [
    'adit-broker device readmit pi-7',
    'adit-broker device readmit pi-7 --for 90d',
  ])
    .option('--for <span>', 'how long it has for that (default: 30d)', duration)
    .action(async (name: string, options: CommonOptions & { for?: Duration }) => {
      const desk = deskOf(terminal, options)
      const readmitted = await desk.ask<{ name: string; until: string }>('device.readmit', { name, lasting: options.for })
      desk.print(readmitted, ({ name, until }) => `${name} may renew its certificate until ${until}\n`)
    })
}
