import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { AditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, deskOf, verb } from '../verb.ts'

/** Vouchers in one question to a running broker. */
const batchSize = 100

interface ImportOptions extends CommonOptions {
  name?: string
  tag?: string[]
}

/** `adit-broker voucher import` */
export function voucherImport(parent: Command, terminal: Terminal): void {
  verb(parent, 'import <file...>', "take makers' vouchers in: their boards may enrol, once each", [
    "adit-broker voucher import SN0001.voucher --name 'pump-{n}' --tag site:north",
    "adit-broker voucher import vouchers/*.voucher --name 'pump-####'",
  ])
    .option('--name <pattern>', 'how the devices are called: a name, or a pattern as pi-{n} (default: from the serial number)')
    .option('--tag <tag>', 'a tag of the devices; repeatable', collect)
    .action(async (files: string[], options: ImportOptions) => {
      const desk = deskOf(terminal, options)
      const vouchers = (await Promise.all(files.map(vouchersIn))).flat()
      const args = { ...(options.name !== undefined && { name: options.name }), tags: options.tag ?? [] }
      const taken: { serial: string }[] = []
      for (let at = 0; at < vouchers.length; at += batchSize) {
        const batch = vouchers.slice(at, at + batchSize)
        taken.push(...(await desk.ask<{ serial: string }[]>('voucher.import', { vouchers: batch, ...args })))
      }
      desk.print(taken, (all) => `${all.length} vouchers taken: ${all.map(({ serial }) => serial).join(' ')}\n`)
    })
}

/** DER in base64 of every voucher in the file: PEM under the label CMS, or one DER. */
async function vouchersIn(file: string): Promise<string[]> {
  try {
    const bytes = await readFile(file)
    if (bytes[0] === 0x30) return [bytes.toString('base64')]
    const found = decodePem('CMS', bytes.toString('latin1'))
    if (found.length > 0) return found.map((der) => Buffer.from(der).toString('base64'))
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (!(cause instanceof PkiError)) throw new AditError('usage', `${file} cannot be read (${code}).`, mend, { cause })
  }
  throw new AditError('usage', `${file} holds no voucher.`, mend)
}

const mend = 'Name files that the maker of the boards has made: adit factory voucher.'
