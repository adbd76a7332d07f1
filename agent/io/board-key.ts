import { join } from 'node:path'
import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { readIfPresent, readSecret, writeDurably } from '#shared/platform/files.ts'
import { identityKeyFromPem, identityKeyToPem } from './identity-key.ts'
import { boardsKey } from './token-faults.ts'
import { isSameKey, type TokenPlace, tokenPlaceIn } from './token-place.ts'
import { readEitherCopy, writeBothCopies } from './two-copies.ts'

/** Where the key of a board's IDevID is, in its state folder: the key itself, or which token has it. */
export const boardKeyFiles = { key: 'idevid.key', token: 'idevid-token.json', tokenCopy: 'idevid-token.json.bak' } as const

/** A file has it too, as PKCS#8 PEM, which TLS wants; a token keeps it. */
export interface BoardKey {
  readonly key: IdentityKey
  readonly keyPem: string | undefined
}

/** In which token it is; undefined: in a file, or not made yet. Throws AditError `storage-failed`. */
export function boardToken(path: string): Promise<TokenPlace | undefined> {
  const file = join(path, boardKeyFiles.token)
  return readEitherCopy(file, readIfPresent, (bytes) => {
    try {
      return tokenPlaceIn(bytes)
    } catch (cause) {
      const mend = 'Say again where the key is: adit-agent idevid request --pkcs11 URI'
      throw new AditError('storage-failed', `${file} is damaged.`, mend, { cause })
    }
  })
}

/** Undefined where none was made. Throws AditError `key-token-missing` or `key-token-refused` where its token is not to be had. */
export async function readBoardKey(path: string, suite: Suite): Promise<BoardKey | undefined> {
  const place = await boardToken(path)
  if (place !== undefined) {
    const { openTokenKey } = await import('./key-token.ts')
    return { key: await openTokenKey(place, suite), keyPem: undefined }
  }
  const file = join(path, boardKeyFiles.key)
  const bytes = await readSecret(file)
  if (bytes === undefined) return undefined
  const keyPem = Buffer.from(bytes).toString('latin1')
  return { key: identityKeyFromPem(keyPem, file, suite), keyPem }
}

/**
 * The key that is there, or a new one, which is on disk or in the token of `place` when this resolves: asking twice is asking for the same.
 * Where the key is in a token already, `place` is where that is by now. `device`: where the identity key of the board's device is.
 */
export async function makeBoardKey(
  path: string,
  suite: Suite,
  place?: TokenPlace,
  device?: TokenPlace,
): Promise<Pick<BoardKey, 'key'>> {
  if (place !== undefined) return { key: await makeInToken(path, suite, place, device) }
  const there = await readBoardKey(path, suite)
  if (there !== undefined) return there
  const pair = suite.ecdsaP256.generate()
  await writeDurably(join(path, boardKeyFiles.key), identityKeyToPem(pair))
  return { key: pair }
}

async function makeInToken(path: string, suite: Suite, place: TokenPlace, device?: TokenPlace): Promise<IdentityKey> {
  if (device !== undefined && isSameKey(place, device)) throw boardsKey(place)
  const isMoved = (await boardToken(path).catch(() => place)) !== undefined
  if (!isMoved && (await readSecret(join(path, boardKeyFiles.key))) !== undefined) throw hasFile(path)
  const { makeTokenKey, openTokenKey } = await import('./key-token.ts')
  const key = await (isMoved ? openTokenKey(place, suite) : makeTokenKey(place, suite))
  await writeBothCopies(join(path, boardKeyFiles.token), `${JSON.stringify(place)}\n`)
  return key
}

const hasFile = (path: string): AditError =>
  new AditError(
    'key-token-refused',
    `The key of the IDevID of ${path} is a file already (${boardKeyFiles.key}), and a key in hardware is made there.`,
    'Ask in an empty state folder, with --pkcs11; the maker then certifies that key.',
  )
