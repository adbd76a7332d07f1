import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Voucher {
  serial: string
  factory: string
  created: string
  expires: string | null
  name: string | null
  tags: string[]
  device: string | null
  state: string
}

/** `adit-broker voucher list` */
export function voucherList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list the boards that belong to this fleet by a voucher, and what they became', [
    'adit-broker voucher list',
    'adit-broker voucher list --json',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<Voucher[]>('voucher.list', {}), (vouchers) =>
      table([
        ['SERIAL', 'FACTORY', 'STATE', 'DEVICE', 'NAME', 'CREATED', 'EXPIRES', 'TAGS'],
        ...vouchers.map((one) => [
          one.serial,
          one.factory.slice(0, 16),
          one.state,
          one.device ?? '-',
          one.name ?? '-',
          one.created,
          one.expires ?? 'never',
          one.tags.join(' '),
        ]),
      ]),
    )
  })
}
