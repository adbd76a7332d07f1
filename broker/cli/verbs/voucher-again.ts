import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker voucher again` */
export function voucherAgain(parent: Command, terminal: Terminal): void {
  verb(parent, 'again <serial>', 'let a board enrol once more by its voucher, after the device that it was has been revoked', [
    'adit-broker device revoke pump-7',
    'adit-broker voucher again SN0007',
  ]).action(async (serial: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const voucher = await desk.ask<{ serial: string }>('voucher.again', { serial })
    desk.print(voucher, (one) => `${one.serial} may enrol once more\n`)
  })
}
