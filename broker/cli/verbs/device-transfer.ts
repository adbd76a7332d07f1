import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'
import { describeOrder, type OrderWords } from './device-orders.ts'

interface Options extends CommonOptions {
  claim: string
  reason?: string
  keepReadings?: boolean
}

/** `adit-broker device transfer` */
export function deviceTransfer(parent: Command, terminal: Terminal): void {
  verb(parent, 'transfer <name>', 'hand a device over: it forgets this fleet and joins that of a claim, by itself', [
    'adit-broker device transfer pi-7 --claim CLAIM-OF-THE-NEW-OWNER',
    'adit-broker device transfer pi-7 --claim - --json < claim.txt > handover.json    # what the new owner may know of it',
  ])
    .requiredOption('--claim <token>', "a claim that the new owner's broker has made for it; - reads it from standard input")
    .option('--reason <text>', 'why, for the audit (default: transfer)')
    .option('--keep-readings', 'its readings stay here, until the retention takes them')
    .action(async (name: string, { claim, reason = 'transfer', keepReadings = false, ...common }: Options) => {
      const desk = deskOf(terminal, common)
      const token = (claim === '-' ? await desk.readInput() : claim).trim()
      desk.print(await desk.ask<OrderWords>('device.transfer', { name, claim: token, reason, keepReadings }), describeOrder)
    })
}
