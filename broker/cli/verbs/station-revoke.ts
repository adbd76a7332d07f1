import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  withUnits?: boolean
}

/** `adit-broker station revoke` */
export function stationRevoke(parent: Command, terminal: Terminal): void {
  verb(parent, 'revoke <name>', 'end a factory line at once; what it issued before and is known here stays', [
    'adit-broker station revoke line-1',
    'adit-broker station revoke line-1 --with-units',
  ])
    .option('--with-units', 'revoke every device that it made, too')
    .action(async (name: string, options: Options) => {
      const desk = deskOf(terminal, options)
      const { withUnits = false } = options
      const revoked = await desk.ask<{ station: string; unitsRevoked: number; toSign: number }>('station.revoke', {
        name,
        withUnits,
      })
      const units = withUnits ? `, and ${revoked.unitsRevoked} devices with it` : ''
      const sign =
        revoked.toSign === 0
          ? ''
          : `It vouched for ${revoked.toSign} devices, which wait for your own word now: adit fleet sign\n`
      desk.print(revoked, ({ station }) => `station ${station} revoked${units}\n${sign}`)
    })
}
