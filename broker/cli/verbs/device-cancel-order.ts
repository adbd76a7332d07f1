import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'
import { describeOrder, type OrderWords } from './device-orders.ts'

/** `adit-broker device cancel-order` */
export function deviceCancelOrder(parent: Command, terminal: Terminal): void {
  verb(parent, 'cancel-order <name>', 'call off the order that waits for a device, which may have it already', [
    'adit-broker device cancel-order pi-7',
  ]).action(async (name: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<OrderWords>('device.cancel-order', { name }), describeOrder)
  })
}
