import type { Command } from 'commander'
import type { BackupHeader } from '#broker/backup/backup-header.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, type Desk, deskOf, usage, verb } from '../verb.ts'

interface Options extends CommonOptions {
  out?: string
  check?: string
  passphraseFile?: string
}

type Snapshot = Omit<BackupHeader, 'kdf'> & { name: string }

/** `adit-broker backup` */
export function backup(parent: Command, terminal: Terminal): void {
  verb(parent, 'backup', 'a sealed copy of everything that makes this broker: CA, keys, registry, configuration', [
    'adit-broker backup --out /mnt/usb/adit-2027-01-31.backup',
    'adit-broker backup --out /srv/backup/adit.backup --passphrase-file /root/backup.pass',
    'adit-broker backup --check /mnt/usb/adit-2027-01-31.backup    # whole, and the passphrase right?',
  ])
    .option('--out <file>', 'where to write it: a file that is not there yet')
    .option('--check <file>', 'read a backup to its end, and write nothing')
    .option('--passphrase-file <file>', "the passphrase is the file's first line (default: asked for)")
    .action(async ({ out, check, passphraseFile, ...common }: Options) => {
      const desk = deskOf(terminal, common)
      if ((out === undefined) === (check === undefined)) throw usage('Either --out or --check is wanted.', 'backup')
      if (out !== undefined) return make(desk, out, passphraseFile)
      const { checkFile } = await import('../io/backup-file.ts')
      const whole = await checkFile(check as string, passphraseFile)
      desk.print(whole, ({ files, bytes, made }) => `whole: ${files} files, ${bytes} bytes, made ${made}\n`)
    })
}

async function make(desk: Desk, out: string, passphraseFile: string | undefined): Promise<void> {
  const { makeFile } = await import('../io/backup-file.ts')
  const made = await makeFile({
    ...{ dataDir: desk.dataDir, out, passphraseFile },
    snapshot: () => desk.ask<Snapshot>('backup.snapshot', {}),
    discard: (name) => desk.ask<object>('backup.discard', { name }),
  })
  desk.print(made, ({ file, files, bytes }) => `${file}: ${files} files sealed, ${bytes} bytes\n`)
}
