/** One word for a POSIX shell: as it is where nothing in it means anything there, else in single quotes. */
export const shellWord = (word: string): string => (/^[\w@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)
