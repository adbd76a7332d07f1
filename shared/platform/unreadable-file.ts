import { AditError } from '#shared/errors.ts'

/** For the failure of reading a file that a person has named: throws AditError `usage`, with `mend`. */
export const unreadableFile =
  (file: string, mend: string) =>
  (cause: NodeJS.ErrnoException): never => {
    throw new AditError('usage', `${file} cannot be read (${cause.code}).`, mend, { cause })
  }
