import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface LaneDocument {
  days: number
  shelfDays: number
  waiting: { name: string; expired: string; lane: string; until: string | null; open: boolean }[]
  returned: { name: string | null; expired: string; returned: string; lane: string }[]
}

/** `adit-broker lane list` */
export function laneList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'devices whose certificate has expired, until when they may renew it, and who has come back', [
    'adit-broker lane list',
    'adit-broker lane list --json',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<LaneDocument>('lane.list', {}), describe)
  })
}

function describe({ days, shelfDays, waiting, returned }: LaneDocument): string {
  const words: Record<string, string> = {
    renewal: `within ${days} days`,
    shelf: `first certificate: within ${shelfDays} days`,
    board: 'by the IDevID of its board',
    readmitted: 'readmitted',
    twin: 'a second one showed its first certificate',
  }
  const away = waiting.map(({ name, expired, lane, until, open }) => [
    name,
    expired,
    until ?? 'no end',
    open ? (words[lane] ?? lane) : `over; adit-broker device readmit ${name}`,
  ])
  const back = returned.map(({ name, expired, returned: at, lane }) => [
    name ?? '?',
    expired,
    at,
    `came back: ${words[lane] ?? lane}`,
  ])
  return table([['DEVICE', 'EXPIRED', 'UNTIL', 'LANE'], ...away, ...back])
}
