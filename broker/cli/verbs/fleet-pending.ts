import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Pending {
  pending: { subject: string; reason: string; words: string }[]
  unsayable: { subject: string; why: string }[]
  atStations: { station: string; devices: number }[]
}

/** `adit-broker fleet pending` */
export function fleetPending(parent: Command, terminal: Terminal): void {
  verb(parent, 'pending', 'what waits for the signature of the fleet key', [
    'adit-broker fleet pending',
    'adit-broker fleet pending --json > pending.json    # signed elsewhere: adit fleet sign --in pending.json --out signed.json',
  ])
    .option('--all', 'everything, as for a new key, but for what stations have vouched for')
    .action(async (options: CommonOptions & { all?: boolean }) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<Pending>('fleet.pending', { all: options.all ?? false }), describe)
    })
}

const describe = ({ pending, unsayable, atStations }: Pending): string =>
  [
    ...pending.map(({ reason, words }) => `${reason.padEnd(12)}  ${printable(words)}\n`),
    ...unsayable.map(({ subject, why }) => `${'refused'.padEnd(12)}  ${printable(`${subject}: ${why}`)}\n`),
    ...atStations.map(
      ({ station, devices }) => `${devices} of the devices of station ${station} wait for it: adit station sync\n`,
    ),
    pending.length === 0 ? 'Nothing waits to be signed.\n' : `Sign with: adit fleet sign\n`,
  ].join('')
