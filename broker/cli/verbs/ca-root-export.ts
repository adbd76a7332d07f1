import type { Command } from 'commander'
import { type CaStatus, caWords } from '../ca-words.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  out: string
  passphraseFile?: string
  keep?: boolean
}

/** `adit-broker ca root export`: the root's key to a file, and away from here. */
export function caRoot(parent: Command, terminal: Terminal): void {
  const root = parent.command('root').description("the root's key")
  verb(root, 'export', "take the root offline: its key into a file under a passphrase, and away from the broker's disk", [
    'adit-broker ca root export --out /media/stick/root.pem',
    'adit-broker ca root export --out root.pem --passphrase-file FILE --keep',
  ])
    .requiredOption('--out <file>', 'where to write key and certificate; nothing may be there yet')
    .option('--passphrase-file <file>', 'its first line is the passphrase; left out: standard input')
    .option('--keep', 'leave the key here too')
    .action(async ({ out, passphraseFile, keep = false, ...options }: Options) => {
      const desk = deskOf(terminal, options)
      const { checkRootFile, passphraseOf, writeSecretFile } = await import('../io/ca-file.ts')
      const passphrase = await passphraseOf(passphraseFile, terminal)
      const { pem } = await desk.ask<{ pem: string }>('ca.root.export', { passphrase })
      await writeSecretFile(out, pem)
      // Nothing is destroyed before the file was read again, and its key is the root's.
      const { fingerprint } = await checkRootFile(out, passphrase)
      if (!keep) return desk.print(await desk.ask<CaStatus>('ca.root.forget', { fingerprint }), caWords)
      desk.print({ out, fingerprint, kept: true }, () => `${out}\n`)
    })
}
