import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker voucher remove` */
export function voucherRemove(parent: Command, terminal: Terminal): void {
  verb(parent, 'remove <serial>', 'forget a voucher: its board may not enrol here; a device that it became stays', [
    'adit-broker voucher remove SN0007',
  ]).action(async (serial: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const voucher = await desk.ask<{ serial: string }>('voucher.remove', { serial })
    desk.print(voucher, (one) => `the voucher of ${one.serial} is forgotten\n`)
  })
}
