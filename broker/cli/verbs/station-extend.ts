import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, duration, verb } from '../verb.ts'

interface Options extends CommonOptions {
  quota?: number
  ttl?: number
}

interface Extended {
  station: string
  names: string
  first: number
  last: number
  quota: number
  issued: number
  until: string
}

/** `adit-broker station extend`: more certificates, or more time, for a factory line that is there. */
export function stationExtend(parent: Command, terminal: Terminal): void {
  verb(parent, 'extend <name>', 'let a factory line issue more, or for longer; it hears of it at its next sync', [
    'adit-broker station extend line-1 --quota 1000',
    'adit-broker station extend line-1 --ttl 30d',
  ])
    .option('--quota <n>', 'how many certificates in all, those that it has issued included', count)
    .option('--ttl <span>', 'how long it may issue from now on: 8h, 30d', duration)
    .action(async (name: string, { quota, ttl, ...options }: Options) => {
      const desk = deskOf(terminal, options)
      const made = await desk.ask<Extended>('station.extend', { name, quota, ttl })
      desk.print(
        made,
        (s) =>
          `${printable(
            `Station ${s.station} may make ${s.quota} devices ${s.names}, numbers ${s.first} to ${s.last}, until ${s.until}; it has made ${s.issued}.`,
          )}\nIt hears of it at its next sync, or now: adit station renew\n`,
      )
    })
}
