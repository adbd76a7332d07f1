import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker factory list` */
export function factoryList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list the makers of boards that are believed', ['adit-broker factory list']).action(
    async (options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      const factories = await desk.ask<{ fingerprint: string; name: string | null; added: string }[]>('factory.list', {})
      desk.print(factories, (all) =>
        table([['FACTORY', 'NAME', 'SINCE'], ...all.map((one) => [one.fingerprint, one.name ?? '-', one.added])]),
      )
    },
  )
}
