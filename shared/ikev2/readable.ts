import { PkiError } from '#shared/pki/pki-error.ts'

/** What `read` makes of a stranger's DER; undefined where that is none. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof PkiError) return undefined
    throw error
  }
}
