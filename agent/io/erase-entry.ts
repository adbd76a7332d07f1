import { lstat, rm, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { nativeSuite } from '#shared/crypto/native.ts'
import { eraseDurably } from '#shared/platform/erase-file.ts'
import { readSecret, storageError, syncDirectory } from '#shared/platform/files.ts'
import { stateFiles } from './state-folder.ts'
import { checkTokenPlace, isSameKey, type TokenPlace, tokenPlaceIn } from './token-place.ts'

/**
 * What lies in a state folder, whatever it is: a file with its content, a folder with all in it, a socket or a link by its name alone. With
 * what says where a key in hardware is goes that key.
 */
export async function eraseEntry(path: string): Promise<void> {
  if (basename(path) === stateFiles.identityToken) await destroyKeyOf(path)
  if (basename(path) === stateFiles.nextIdentity) await destroyOthersOf(path)
  try {
    const facts = await lstat(path)
    if (facts.isFile()) return await eraseDurably(path)
    if (facts.isDirectory()) await rm(path, { recursive: true })
    else await unlink(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw storageError(error, 'erase', path)
  }
  await syncDirectory(dirname(path))
}

async function destroyKeyOf(path: string): Promise<void> {
  const place = await placeIn(path)
  if (place) await destroy(place)
}

/** Keys in hardware that were made to follow, or were followed, and are not in use. */
async function destroyOthersOf(path: string): Promise<void> {
  const inUse = await placeIn(join(dirname(path), stateFiles.identityToken))
  try {
    const bytes = await readSecret(path)
    const stored = bytes && (JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, TokenPlace | undefined>)
    for (const place of [stored?.token, stored?.former, stored?.dying])
      if (place && !(inUse && isSameKey(place, inUse))) await destroy(checkTokenPlace(place))
  } catch {
    // As below.
  }
}

async function placeIn(path: string): Promise<TokenPlace | undefined> {
  try {
    const bytes = await readSecret(path)
    return bytes && tokenPlaceIn(bytes)
  } catch {
    return undefined
  }
}

async function destroy(place: TokenPlace): Promise<void> {
  try {
    await (await import('./key-token.ts')).destroyTokenKey(place, nativeSuite)
  } catch {
    // Whoever takes the token out must not keep the rest from going; without its certificate the key opens nothing.
  }
}
