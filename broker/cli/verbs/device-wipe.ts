import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'
import { describeOrder, type OrderWords } from './device-orders.ts'

interface Options extends CommonOptions {
  reason: string
  keepReadings?: boolean
}

/** `adit-broker device wipe` */
export function deviceWipe(parent: Command, terminal: Terminal): void {
  verb(parent, 'wipe <name>', 'order a device to erase its keys and all it knows of this fleet, now or at its next contact', [
    'adit-broker device wipe pi-7 --reason "sent in for repair"',
    'adit-broker device orders    # what has become of it',
  ])
    .requiredOption('--reason <text>', 'why, for the audit')
    .option('--keep-readings', 'its readings stay here, until the retention takes them')
    .action(async (name: string, { reason, keepReadings = false, ...common }: Options) => {
      const desk = deskOf(terminal, common)
      desk.print(await desk.ask<OrderWords>('device.wipe', { name, reason, keepReadings }), describeOrder)
    })
}
