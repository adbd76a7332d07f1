/** Where a command speaks: results to standard output, everything else to standard error. */
export interface Terminal {
  out(text: string): void
  err(text: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly isRoot: boolean
}

/** The folder where none is named: /var/lib/adit-broker for root, else by the XDG base directories. */
export function defaultDataDir({ env, home, isRoot }: Pick<Terminal, 'env' | 'home' | 'isRoot'>): string {
  if (isRoot) return '/var/lib/adit-broker'
  const xdg = env.XDG_DATA_HOME
  // The specification tells us to ignore a relative one.
  return `${xdg?.startsWith('/') ? xdg : `${home}/.local/share`}/adit-broker`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Control, zero-width and bidirectional characters as `\u{…}`: shown, never obeyed (A-77). */
export const printable = (text: string): string => text.replace(unprintable, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)

/** Rows under a heading, columns as wide as they need, two spaces between them. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heading, ...rows].map((row) => row.map(printable))
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}
