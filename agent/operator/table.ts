/**
 * Text for a person's terminal. Whatever comes from elsewhere (names, values of sensors, audit details) may hold escape codes: they
 * are shown, never obeyed.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Control, zero-width and bidirectional characters as `\u{…}`. */
export const printable = (text: string): string => text.replace(unprintable, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)

/** Columns with two spaces between them, left-aligned, no spaces at line ends. The first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ''))))
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell + ' '.repeat(widths[i]! - width(cell)))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** Characters, not UTF-16 units. */
const width = (text: string): number => [...text].length

/** `3 s ago`, `12 min ago`, `5 h ago`, `9 d ago`. */
export function age(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '-'
  return `${span(seconds)} ago`
}

/** The largest unit that gives at least 2 of it. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
