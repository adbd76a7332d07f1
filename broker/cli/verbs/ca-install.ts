import type { Command } from 'commander'
import { type CaStatus, caWords } from '../ca-words.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker ca install FILE`: takes what the root has signed. */
export function caInstall(parent: Command, terminal: Terminal): void {
  verb(
    parent,
    'install <file>',
    'take what the root has signed: of a CA, whose rotation is prepared then, or its list of revoked CAs',
    ['adit-broker ca install device.answer', 'adit-broker ca install crl.answer'],
  ).action(async (file: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const { readPublicFile } = await import('../io/ca-file.ts')
    desk.print(await desk.ask<CaStatus>('ca.install', { answer: await readPublicFile(file) }), caWords)
  })
}
