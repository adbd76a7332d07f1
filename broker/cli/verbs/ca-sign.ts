import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'

interface Options {
  root: string
  in: string
  out: string
  newRoot?: string
  pkiUrl?: string
  passphraseFile?: string
  json?: boolean
}

/** `adit-broker ca sign`: on the machine where the root's file is; it needs neither a broker nor a network. */
export function caSign(parent: Command, terminal: Terminal): void {
  parent
    .command('sign')
    .description("answer a request with the root's file: works on a machine without a network, and without a broker")
    .requiredOption('--root <file>', 'as ca root export wrote it')
    .requiredOption('--in <file>', 'the request')
    .requiredOption('--out <file>', 'where to write the answer')
    .option('--new-root <file>', "for a request of a root: where to write the new root's key; nothing may be there yet")
    .option('--pki-url <url>', "as [pki] url of the broker says it: new CAs then name the place of the root's list")
    .option('--passphrase-file <file>', 'its first line is the passphrase, of the new root too; left out: standard input')
    .option('--json', 'JSON on standard output')
    .addHelpText(
      'after',
      '\nExamples:\n  adit-broker ca sign --root root.pem --in device.request --out device.answer\n' +
        '  adit-broker ca sign --root root.pem --new-root root2.pem --in root.request --out root.answer\n' +
        '  adit-broker ca sign --root root.pem --in crl.request --out crl.answer\n',
    )
    .action(async (options: Options) => {
      const { signWithRootFile } = await import('../io/ca-file.ts')
      const done = await signWithRootFile(options, terminal)
      terminal.out(options.json ? `${JSON.stringify(done)}\n` : `${done.out}\n`)
      if (!options.json) terminal.err(`Signed: ${done.asks}. At the broker: adit-broker ca install ${done.out}\n`)
    })
}
