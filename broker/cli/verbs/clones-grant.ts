import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'
import type { CloneDocument } from './clones-list.ts'

/** `adit-broker clones grant` */
export function clonesGrant(parent: Command, terminal: Terminal): void {
  verb(parent, 'grant <copy>', 'let a copy become a device of its own, with keys of its own, by itself', [
    'adit-broker clones grant 1 --name pi-8',
  ])
    .requiredOption('--name <name>', 'what it is to be called; no grants and tags come with it')
    .action(async (id: string, options: CommonOptions & { name: string }) => {
      const desk = deskOf(terminal, options)
      const clone = await desk.ask<CloneDocument>('clones.grant', { id: count(id), name: options.name })
      desk.print(clone, ({ device, name }) => `copy ${id} of ${device} becomes ${name} when it asks next, within five minutes\n`)
    })
}
