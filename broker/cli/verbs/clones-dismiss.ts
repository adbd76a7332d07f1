import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'
import type { CloneDocument } from './clones-list.ts'

/** `adit-broker clones dismiss` */
export function clonesDismiss(parent: Command, terminal: Terminal): void {
  verb(
    parent,
    'dismiss <copy>',
    'say that this one is the device: it gets fresh keys, and whoever else has the old ones is the copy',
    ['adit-broker clones dismiss 1'],
  ).action(async (id: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const clone = await desk.ask<CloneDocument>('clones.dismiss', { id: count(id) })
    desk.print(clone, ({ device }) => `copy ${id} is taken for ${device} when it asks next, within five minutes\n`)
  })
}
