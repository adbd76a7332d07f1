import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

export interface CloneDocument {
  id: number
  device: string | null
  state: string
  found: string
  last: string
  contacts: number
  from: string | null
  differs: string[]
  wasFirst: boolean
  name: string | null
}

/** `adit-broker clones list` */
export function clonesList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'copies of devices that were found, and what became of them', [
    'adit-broker clones list',
    'adit-broker clones list --json',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<CloneDocument[]>('clones.list', {}), (clones) =>
      table([
        ['COPY', 'OF', 'STATE', 'FOUND', 'LAST SEEN', 'FROM', 'DIFFERS IN', 'NAME'],
        ...clones.map(({ id, device, state, found, last, from, differs, name }) => [
          String(id),
          device ?? '?',
          state,
          found,
          last,
          from ?? '-',
          differs.join(' ') || 'nothing',
          name ?? '',
        ]),
      ]),
    )
  })
}
