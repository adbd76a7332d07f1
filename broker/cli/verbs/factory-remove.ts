import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker factory remove` */
export function factoryRemove(parent: Command, terminal: Terminal): void {
  verb(parent, 'remove <fingerprint>', 'believe a maker no longer; its boards that have enrolled stay', [
    'adit-broker factory remove 166a8111a94c3c7e',
  ]).action(async (fingerprint: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const removed = await desk.ask<{ fingerprint: string }>('factory.remove', { fingerprint })
    desk.print(removed, (one) => `${one.fingerprint} is believed no longer\n`)
  })
}
