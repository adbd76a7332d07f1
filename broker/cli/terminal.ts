/** Where a command speaks: results to standard output, everything else to standard error. */
export interface Terminal {
  out(text: string): void
  err(text: string): void
  /** Standard input to its end, as it came (a request in DER is no text); not there where nothing can be read. */
  readonly input?: () => Promise<string | Uint8Array>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly isRoot: boolean
}

/** What came by standard input, as text in UTF-8. */
export const inputText = (input: string | Uint8Array): string =>
  typeof input === 'string' ? input : new TextDecoder().decode(input)

/** The folder where none is named: /var/lib/adit-broker for root, else by the XDG base directories. */
export function defaultDataDir({ env, home, isRoot }: Pick<Terminal, 'env' | 'home' | 'isRoot'>): string {
  if (isRoot) return '/var/lib/adit-broker'
  const xdg = env.XDG_DATA_HOME
  // The specification tells us to ignore a relative one.
  return `${xdg?.startsWith('/') ? xdg : `${home}/.local/share`}/adit-broker`
}
