import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'
import type { CloneDocument } from './clones-list.ts'

/** `adit-broker clones show` */
export function clonesShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show <copy>', 'what is known of a copy', ['adit-broker clones show 1']).action(
    async (id: string, options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<CloneDocument>('clones.show', { id: count(id) }), describe)
    },
  )
}

function describe(clone: CloneDocument): string {
  const lines = [
    `copy ${clone.id} of ${clone.device ?? '?'}: ${clone.state}${clone.name === null ? '' : ` as ${clone.name}`}`,
    `found     ${clone.found}`,
    `last seen ${clone.last}${clone.from === null ? '' : ` from ${clone.from}`}, ${clone.contacts} contacts`,
    `differs   ${clone.differs.join(', ') || 'in nothing that was compared'}`,
  ]
  if (clone.wasFirst) lines.push('it had passed for the device before the device came back')
  if (clone.state === 'held')
    lines.push(
      `next      adit-broker clones grant ${clone.id} --name NEW   (it becomes a device of its own)`,
      `          adit-broker clones dismiss ${clone.id}            (it is the device, and the other one the copy)`,
    )
  return lines.map((line) => `${printable(line)}\n`).join('')
}
