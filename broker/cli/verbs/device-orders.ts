import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

export interface OrderWords {
  order: string
  device: string | null
  kind: 'wipe' | 'transfer'
  state: 'unsigned' | 'waiting' | 'fetched' | 'done' | 'cancelled'
  reason: string
  ageSeconds: number
}

/** `adit-broker device orders` */
export function deviceOrders(parent: Command, terminal: Terminal): void {
  verb(parent, 'orders', 'orders to devices to forget this fleet: which wait, for how long, and which are done', [
    'adit-broker device orders',
    'adit-broker device orders --json    # with the signed evidence of those that are done',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<OrderWords[]>('device.orders', {}), (orders) =>
      orders.length === 0 ? 'No orders.\n' : orders.map(describeOrder).join(''),
    )
  })
}

const states = {
  unsigned: 'waits to be signed by the fleet key: adit fleet sign',
  waiting: 'waits for the device',
  fetched: 'the device has it, and has not said yet that it is done',
  done: 'done',
  cancelled: 'called off',
}

export const describeOrder = ({ device, kind, state, ageSeconds, reason }: OrderWords): string =>
  `${printable(`${kind} ${device ?? '?'}: ${states[state]} (${age(ageSeconds)}; ${reason})`)}\n`

function age(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`
}
