import { scrypt } from 'node:crypto'
import { equalConstantTime } from '#shared/bytes/equal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type BackupHeader, CHECK_LENGTH } from '../backup-header.ts'

/** Half a second and 128 MiB for each guess at a passphrase (2026). */
export const backupCosts = { n: 2 ** 17, r: 8, p: 1 } as const

export interface BackupKeys {
  /** 32 bytes, for the chunks. */
  readonly key: Uint8Array
  /** CHECK_LENGTH bytes, for the header. */
  readonly check: Uint8Array
}

/** The passphrase counts in its composed form (NFKC), whatever keyboard it was typed on. */
export async function backupKeys(passphrase: string, { kdf }: Pick<BackupHeader, 'kdf'>, suite: Suite): Promise<BackupKeys> {
  const { n, r, p } = kdf
  const salt = fromHex(kdf.salt)
  const options = { N: n, r, p, maxmem: 128 * r * (n + p + 2) + 1024 * 1024 }
  const secret = await new Promise<Uint8Array>((resolve, reject) => {
    scrypt(Buffer.from(passphrase.normalize('NFKC'), 'utf8'), salt, 32, options, (error, key) =>
      error ? reject(error) : resolve(key),
    )
  })
  const part = (info: string, length: number): Uint8Array => suite.hkdf('sha256', secret, salt, Buffer.from(info), length)
  return { key: part('adit backup 1 chunks', 32), check: part('adit backup 1 check', CHECK_LENGTH) }
}

/** Throws AditError `passphrase-wrong`. */
export function checkPassphrase({ check }: BackupKeys, said: Uint8Array): void {
  if (equalConstantTime(check, said)) return
  throw new AditError(
    'passphrase-wrong',
    'The passphrase is not that of this backup.',
    'Type it again; nobody can restore without it.',
  )
}
