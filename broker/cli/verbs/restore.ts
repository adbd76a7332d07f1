import type { Command } from 'commander'
import { defaultDataDir, type Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  in: string
  passphraseFile?: string
}

/** `adit-broker restore` */
export function restore(parent: Command, terminal: Terminal): void {
  verb(parent, 'restore', 'make the data folder of a broker out of a backup; the folder must be empty or not there', [
    'adit-broker restore --in /mnt/usb/adit-2027-01-31.backup --data /var/lib/adit-broker',
  ])
    .requiredOption('--in <file>', 'what adit-broker backup has written')
    .option('--passphrase-file <file>', "the passphrase is the file's first line (default: asked for)")
    .action(async ({ in: file, passphraseFile, ...common }: Options) => {
      const desk = deskOf(terminal, common)
      const { restoreFile } = await import('../io/backup-file.ts')
      const restored = await restoreFile(file, common.data ?? defaultDataDir(terminal), passphraseFile)
      desk.print(restored, describe)
      if (!desk.json) terminal.err(advice(restored.made))
    })
}

const describe = ({ data, files, made }: { data: string; files: number; made: string }): string =>
  `${data}: ${files} files restored, as they were ${made}\n`

/** What a backup cannot know. */
const advice = (made: string): string =>
  `Stop the broker that this is a copy of, if it still runs: agents will tell if they meet both.
What was revoked after ${made} must be revoked again, and devices that enrolled after it must enrol anew.
Claims that were open are closed.
`
