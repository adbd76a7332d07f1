import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Unit {
  unit: string | null
  name: string
  state: string
  certificate: string
  known: string
  reason: string | null
}

interface Station {
  station: string
  state: string
  names: string
  quota: number
  issued: number
  until: string
  units: Unit[]
}

/** `adit-broker station show` */
export function stationShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show <name>', 'one factory line and every certificate that it caused', [
    'adit-broker station show line-1',
    'adit-broker station show line-1 --json',
  ]).action(async (name: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<Station>('station.show', { name }), (station) => {
      const { state, names, issued, quota, until, units } = station
      const head = printable(`${station.station}: ${state}, ${names}, ${issued} of ${quota} issued, until ${until}`)
      const rows = units.map((u) => [u.unit ?? '-', u.name, u.state, u.certificate, u.known, u.reason ?? ''])
      return `${head}\n${table([['UNIT', 'NAME', 'STATE', 'CERTIFICATE', 'KNOWN SINCE', 'REASON'], ...rows])}`
    })
  })
}
