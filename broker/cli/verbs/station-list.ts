import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Station {
  station: string
  state: string
  names: string
  first: number
  last: number
  quota: number
  issued: number
  delivered: number
  conflicts: number
  until: string
  synced: string | null
}

/** `adit-broker station list` */
export function stationList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list every factory line, what it may issue and what it has', [
    'adit-broker station list',
    'adit-broker station list --json',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<Station[]>('station.list', {}), (stations) =>
      table([
        ['STATION', 'STATE', 'NAMES', 'NUMBERS', 'ISSUED', 'DELIVERED', 'CONFLICTS', 'UNTIL', 'SYNCED'],
        ...stations.map((s) => [
          s.station,
          s.state,
          s.names,
          `${s.first}-${s.last}`,
          `${s.issued}/${s.quota}`,
          String(s.delivered),
          String(s.conflicts),
          s.until,
          s.synced ?? '-',
        ]),
      ]),
    )
  })
}
