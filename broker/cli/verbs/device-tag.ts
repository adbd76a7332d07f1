import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, deskOf, usage, verb } from '../verb.ts'

/** `adit-broker device tag` */
export function deviceTag(parent: Command, terminal: Terminal): void {
  verb(parent, 'tag <name>', 'add and remove tags of a device; grants follow at once', [
    'adit-broker device tag pi-7 --add site:oslo --remove site:bergen',
  ])
    .option('--add <tag>', 'repeatable', collect)
    .option('--remove <tag>', 'repeatable', collect)
    .action(async (name: string, options: CommonOptions & { add?: string[]; remove?: string[] }) => {
      const { add = [], remove = [] } = options
      if (add.length + remove.length === 0) throw usage('There is no tag to add or to remove.', 'device tag')
      const desk = deskOf(terminal, options)
      const device = await desk.ask<{ name: string; tags: string[] }>('device.tag', { name, add, remove })
      desk.print(device, ({ tags }) => `tags of ${device.name}: ${tags.join(' ') || 'none'}\n`)
    })
}
