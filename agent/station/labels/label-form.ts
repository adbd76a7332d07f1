import type { Command } from 'commander'
import { Option } from 'commander'
import { AditError } from '#shared/errors.ts'
import type { LabelSize } from './label-layout.ts'
import { type SheetName, sheets } from './pdf.ts'

/** What is made of labels: a page, a picture, or a label printer's commands. */
export type LabelForm = 'pdf' | 'png' | 'zpl'

/** Where labels go and what they look like, as it was typed. */
export interface LabelWish {
  /** FILE.pdf, FILE.png or FILE.zpl; `{serial}` and `{name}` in it stand for the unit's, and `:` in a serial becomes `-`. */
  readonly label?: string
  /** HOST or HOST:PORT of a label printer that takes ZPL. */
  readonly printer?: string
  /** A program with its words, which is given each label on its standard input. */
  readonly printCommand?: string
  /** What the program is given. */
  readonly printForm?: LabelForm
  /** WIDTHxHEIGHT in mm. */
  readonly labelSize?: string
  readonly sheet?: SheetName
  readonly cutMarks?: boolean
  readonly dpi?: string
}

/** Of label printers' dots, and of what else is printed. */
export const defaultDpi = { zpl: 203, png: 300, pdf: 300 } as const

const defaultSize: LabelSize = { width: 51, height: 25 }

/** The options by which a verb that makes labels is told of them. */
export const labelOptions = (command: Command): Command =>
  command
    .option('--label <file>', 'labels into FILE.pdf, FILE.png or FILE.zpl; {serial} and {name} in it stand for the unit')
    .option('--printer <host>', 'labels to a ZPL printer, HOST or HOST:PORT (9100)')
    .option('--print-command <command>', 'labels to a program on its standard input, as in "lp -d labels"')
    .addOption(new Option('--print-form <form>', 'what that program is given').choices(['pdf', 'png', 'zpl']).default('pdf'))
    .option('--label-size <WxH>', 'in mm', '51x25')
    .addOption(new Option('--sheet <sheet>', 'a PDF of whole sheets').choices(Object.keys(sheets)))
    .option('--cut-marks', 'a cross at each corner of labels in a PDF')
    .addOption(new Option('--dpi <n>', 'dots an inch (zpl 203, else 300)').choices(['203', '300', '600']))

/** Throws AditError `usage` for an ending that names no form. */
export function formOfFile(path: string): LabelForm {
  const [, ending] = /\.(pdf|png|zpl)$/i.exec(path) ?? []
  if (ending !== undefined) return ending.toLowerCase() as LabelForm
  throw new AditError('usage', `"${path}" does not say what labels are wanted.`, 'End it with .pdf, .png or .zpl.')
}

export function sizeOf({ labelSize, sheet }: LabelWish): LabelSize {
  if (sheet !== undefined) return sheets[sheet].label
  if (labelSize === undefined) return defaultSize
  const [, width, height] = /^(\d{1,3}(?:\.\d)?)x(\d{1,3}(?:\.\d)?)$/.exec(labelSize) ?? []
  const size = { width: Number(width), height: Number(height) }
  if (size.width >= 10 && size.height >= 10 && size.width <= 300 && size.height <= 300) return size
  throw new AditError('usage', `"${labelSize}" is no size of a label.`, 'Write WIDTHxHEIGHT in mm, 10 to 300, as in 51x25.')
}
