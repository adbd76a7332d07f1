import { type Command, Option } from 'commander'
import { revocationReasons } from '#shared/pki/revocation-reason.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  reason: string
  revocation?: string
  keepReadings?: boolean
}

/** `adit-broker device retire` */
export function deviceRetire(parent: Command, terminal: Terminal): void {
  verb(parent, 'retire <name>', 'end a device here: revoked, what is known of it erased, its name free; the audit stays', [
    'adit-broker device retire pi-7 --reason "scrapped, board 4711"',
    'adit-broker device retire pi-8 --reason stolen --revocation key-compromise --keep-readings',
  ])
    .requiredOption('--reason <text>', 'why, for the audit')
    .addOption(
      new Option('--revocation <reason>', 'what outsiders are told (default: cessation-of-operation)').choices(
        Object.keys(revocationReasons),
      ),
    )
    .option('--keep-readings', 'its readings stay, until the retention takes them')
    .action(async (name: string, { reason, revocation, keepReadings = false, ...common }: Options) => {
      const desk = deskOf(terminal, common)
      const args = { name, reason, keepReadings, ...(revocation !== undefined && { revocation }) }
      desk.print(
        await desk.ask<{ name: string; readings: number; grants: number }>('device.retire', args),
        (gone) => `device ${gone.name} retired: ${gone.readings} readings erased, ${gone.grants} grants withdrawn\n`,
      )
    })
}
