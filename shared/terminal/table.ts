import { printable } from './printable.ts'

/** Columns with two spaces between them, left-aligned, no spaces at line ends. The first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ''))))
  const line = (row: readonly string[]): string => row.map((cell, i) => cell + ' '.repeat(widths[i]! - width(cell))).join('  ')
  return cells.map((row) => `${line(row).trimEnd()}\n`).join('')
}

/** Characters, not UTF-16 units. */
const width = (text: string): number => [...text].length
