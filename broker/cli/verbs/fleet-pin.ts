import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker fleet pin` */
export function fleetPin(parent: Command, terminal: Terminal): void {
  verb(parent, 'pin <publickey>', "make the administrator's key the fleet's: claims carry it from now on", [
    'adit-broker fleet pin Nx0Wm0mR3o3yQ1mC0i0xk3cW1pYk2mJb9m0xw1b2c3Q=',
  ])
    .option('--replace', 'in place of another one that is lost')
    .action(async (key: string, options: CommonOptions & { replace?: boolean }) => {
      const desk = deskOf(terminal, options)
      const pinned = await desk.ask<{ fingerprint: string }>('fleet.pin', { key, replace: options.replace ?? false })
      desk.print(pinned, ({ fingerprint }) => `fleet key pinned: ${fingerprint}\n`)
      if (desk.json) return
      terminal.err(
        'Sign what the fleet is made of: adit fleet sign. Ends that enrolled before pin it by hand: adit-agent fleet pin.\n',
      )
    })
}
