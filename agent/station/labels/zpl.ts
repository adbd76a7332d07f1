import { CELL, type LabelLayout } from './label-layout.ts'

/**
 * One label in ZPL II, for label printers: `^BQ` makes the code, font A (cells of 9 by 5 dots and a gap) the text. Every field is given
 * in hex (`^FH`) where it holds more than plain letters: nothing in a name or serial can begin a command of its own.
 */
export function encodeZpl(layout: LabelLayout, url: string): string {
  const { width, height, qr, lines } = layout
  return [
    '^XA',
    // UTF-8, width and length of the label, origin at its corner, one copy.
    '^CI28',
    `^PW${width}`,
    `^LL${height}`,
    '^LH0,0',
    // Model 2; after the data's own prefix: level M, mode by the printer.
    `^FO${qr.x},${qr.y}^BQN,2,${Math.min(qr.module, largestModule)}^FH_^FDMA,${field(url)}^FS`,
    ...lines.map(({ x, y, scale, text }) => `^FO${x},${y}^AAN,${CELL.height * scale},${5 * scale}^FH_^FD${field(text)}^FS`),
    '^PQ1',
    '^XZ',
    '',
  ].join('\n')
}

/** ^BQ takes 1 to 10 dots a module. */
const largestModule = 10

/** Letters, digits and the few signs that mean nothing in ZPL as they are; all else as `_XX`, by its UTF-8 bytes. */
const field = (text: string): string =>
  text.replace(/[^A-Za-z0-9 .:/#=&-]/gu, (c) =>
    [...Buffer.from(c, 'utf8')].map((byte) => `_${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
