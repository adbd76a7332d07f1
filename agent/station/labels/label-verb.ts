import type { Command } from 'commander'
import { AditError } from '#shared/errors.ts'
import { type LabelWish, labelOptions } from './label-form.ts'
import type { LabelPorts } from './label-printer.ts'

/** A station's ledger, opened for labels. */
export interface LabelDesk extends LabelPorts {
  readonly json: boolean
  write(text: string): Promise<void>
  close(): Promise<void>
}

/** `adit station label UNIT…`: prints the labels of units again; each copy is counted in the ledger. */
export function labelVerb(station: Command, open: (command: Command) => Promise<LabelDesk>): void {
  labelOptions(station.command('label'))
    .description('print the label of a unit, or print it again')
    .argument('<unit...>', 'serials as they were scanned, or the text of their labels')
    .option('--out <file>', 'the same as --label')
    .option('--state <dir>', 'state folder (or ADIT_STATE)')
    .option('--json', 'JSON on standard output')
    .addHelpText('after', examples)
    .action(async (units: string[], { out, ...options }: LabelWish & { out?: string }, command: Command) =>
      printLabels(units, { ...options, ...(out !== undefined && { label: out }) }, () => open(command)),
    )
}

const examples = `
Examples:
  adit station label 10000000a1b2c3d4 --out label.png
  adit station label 10000000a1b2c3d4 --printer 192.168.1.40
  adit station label SERIAL SERIAL … --out labels.pdf --sheet a4-3x8 --cut-marks
  adit station label 10000000a1b2c3d4 --print-command "lp -d labels" --label-size 62x29`

/** One line a label; with `--json` one JSON line each. The first that cannot be printed ends it. */
export async function printLabels(units: readonly string[], wish: LabelWish, open: () => Promise<LabelDesk>): Promise<void> {
  const { openLabels } = await import('./label-printer.ts')
  const { serialOfScan } = await import('./label.ts')
  const { checkSerial } = await import('#shared/enrolment/unit-serial.ts')
  const serials = units.map((unit) => checkSerial(serialOfScan(unit)))
  const desk = await open()
  try {
    const printer = openLabels(wish, desk)
    if (printer === undefined) throw nowhere()
    for (const serial of serials) {
      const { name, copy, certificateSerial, fingerprint, file } = await printer.print(serial)
      const fields = { event: 'label', serial, name, copy, certificateSerial, fingerprint, file: file ?? null }
      const where = file === undefined ? '' : ` in ${file}`
      await desk.write(desk.json ? `${JSON.stringify(fields)}\n` : `Label ${copy} of ${serial} (${name})${where}.\n`)
    }
  } finally {
    await desk.close()
  }
}

const nowhere = (): AditError =>
  new AditError('usage', 'It is not said where the label goes.', 'Add --out FILE.pdf, --printer HOST or --print-command COMMAND.')
