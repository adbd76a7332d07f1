import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker ca show`: what pins this fleet. */
export function caShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show', "the fleet's root certificate, its fingerprint and the broker's tunnel key", [
    'adit-broker ca show > root.pem',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const ca = await desk.ask<{ fingerprint: string; certificate: string; tunnelKey: string }>('ca.show', {})
    desk.print(ca, ({ certificate }) => certificate)
    if (!desk.json) terminal.err(`SHA-256 ${ca.fingerprint}\ntunnel key ${ca.tunnelKey}\n`)
  })
}
