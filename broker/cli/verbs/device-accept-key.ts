import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker device accept-key` */
export function deviceAcceptKey(parent: Command, terminal: Terminal): void {
  verb(parent, 'accept-key <name>', 'pin the host keys that the device reports now, in place of those pinned before', [
    'adit-broker device accept-key pi-7',
  ])
    .option('--service <service>', 'of this service only')
    .action(async (name: string, options: CommonOptions & { service?: string }) => {
      const desk = deskOf(terminal, options)
      const accepted = await desk.ask<{ hostKeys: { service: string }[] }>('device.accept-key', {
        name,
        service: options.service,
      })
      desk.print(
        accepted,
        ({ hostKeys }) => `host keys of ${name} accepted: ${hostKeys.map(({ service }) => service).join(' ')}\n`,
      )
    })
}
