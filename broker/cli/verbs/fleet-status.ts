import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface FleetStatus {
  fleet: string
  pinned: boolean
  key: string
  fingerprint: string
  signed: number
  pending: number
  unsayable: { subject: string; why: string }[]
  stations: { station: string; key: string; until: string | null; waiting: number }[]
}

/** `adit-broker fleet status` */
export function fleetStatus(parent: Command, terminal: Terminal): void {
  verb(parent, 'status', 'whose signature the ends of this fleet believe', ['adit-broker fleet status']).action(
    async (options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<FleetStatus>('fleet.status', {}), (status) =>
        table([
          ['fleet', status.fleet],
          ['key', status.key],
          ['fingerprint', status.fingerprint],
          [
            'whose',
            status.pinned ? "the administrator's" : "this broker's own: whoever has the broker has the fleet (adit fleet init)",
          ],
          ...(status.pinned
            ? [
                ['signed', String(status.signed)],
                ['to sign', status.pending === 0 ? 'nothing' : `${status.pending}: adit fleet sign`],
              ]
            : []),
          ...status.stations.map(({ station, key, until, waiting }) => [
            `station ${station}`,
            [
              until === null
                ? 'may vouch for nothing until it is signed: adit fleet sign'
                : `vouches for its devices until ${until}`,
              `by its key ${key}`,
              ...(waiting === 0 ? [] : [`${waiting} wait for it: adit station sync`]),
            ].join('; '),
          ]),
          ...status.unsayable.map(({ subject, why }) => ['cannot be signed', `${subject}: ${why}`]),
        ]),
      )
    },
  )
}
