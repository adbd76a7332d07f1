import { type Command, Option } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Options extends CommonOptions {
  role: string
  out: string
}

/** `adit-broker ca request`: what the root's key is to sign elsewhere. */
export function caRequest(parent: Command, terminal: Terminal): void {
  verb(parent, 'request', 'write what the root, whose key is elsewhere, is to sign', [
    'adit-broker ca request --role device --out device.request',
    'adit-broker ca request --role root --out root.request',
    'adit-broker ca request --role crl --out crl.request',
  ])
    .addOption(
      new Option('--role <role>', "the CA of a role, a new root, or the root's list of revoked CAs (crl)")
        .choices(['root', 'device', 'operator', 'station', 'api', 'crl'])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <file>', 'where to write it')
    .action(async ({ role, out, ...options }: Options) => {
      const desk = deskOf(terminal, options)
      const { request, pkiUrl } = await desk.ask<{ request: string; pkiUrl?: string }>('ca.request', { line: role })
      const { writePublicFile } = await import('../io/ca-file.ts')
      await writePublicFile(out, request)
      desk.print({ line: role, out, ...(pkiUrl !== undefined && { pkiUrl }) }, () => `${out}\n`)
      const more = `${role === 'root' ? ' --new-root NEWROOT' : ''}${pkiUrl === undefined ? '' : ` --pki-url ${pkiUrl}`}`
      if (!desk.json) terminal.err(`Where the root's key is: adit-broker ca sign --root ROOT${more} --in ${out} --out ANSWER\n`)
    })
}
