import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { unreadableFile } from '#shared/platform/unreadable-file.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker factory trust` */
export function factoryTrust(parent: Command, terminal: Terminal): void {
  verb(parent, 'trust <file>', 'believe a maker of boards: their IDevIDs may ask to enrol, its vouchers are taken', [
    'adit-broker factory trust maker.pem',
    'ssh maker adit factory trust-anchor | adit-broker factory trust -',
  ]).action(async (file: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const pem = file === '-' ? await desk.readInput() : await readFile(file, 'utf8').catch(unreadableFile(file, nameIt))
    const factory = await desk.ask<{ fingerprint: string; name: string | null }>('factory.trust', { pem })
    desk.print(factory, ({ fingerprint, name }) => `${name ?? 'factory'} is believed: SHA-256 ${fingerprint}\n`)
    if (!desk.json) terminal.err('Compare the fingerprint with the maker by another way: adit factory show.\n')
  })
}

const nameIt = 'Name the file that adit factory trust-anchor has written.'
