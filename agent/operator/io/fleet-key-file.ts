import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { encryptPrivateKey, openPrivateKey } from '#shared/pki/encrypted-key.ts'
import { decodePrivateKey, encodePrivateKey } from '#shared/pki/private-key.ts'
import { makePrivateDirectory, nodeFiles, readSecret, storageError, syncDirectory, writeDurably } from '#shared/platform/files.ts'

/** The fleet key on the administrator's machine: PKCS#8 in PEM (RFC 8410), in the clear or under a passphrase. */

/** Makes a key at `path`, where nothing may be yet: 0600 in a folder of 0700. Throws AditError. */
export async function makeFleetKey(path: string, passphrase: string | undefined): Promise<KeyPair> {
  const pair = nativeSuite.ed25519.generate()
  const plain = encodePrivateKey('ed25519', pair)
  await makePrivateDirectory(dirname(path))
  await createFile(path, passphrase === undefined ? plain : encryptPrivateKey(plain, passphrase, nativeSuite))
  await writeDurably(publicPath(path), `${Buffer.from(pair.publicKey).toString('base64')}\n`)
  return pair
}

/** The pair. `passphrase` is asked for only where the file is under one. Throws AditError `fleet-key-refused` for a wrong one. */
export async function readFleetKey(path: string, passphrase: () => Promise<string>): Promise<KeyPair> {
  const bytes = await readSecret(path)
  if (bytes === undefined) throw noKey(path)
  const plain = await openPrivateKey(Buffer.from(bytes).toString('latin1'), passphrase)
  if (plain === undefined) throw wrongPassphrase(path)
  try {
    return decodePrivateKey('ed25519', plain, nativeSuite)
  } catch {
    throw damaged(path)
  }
}

/** The public half without the passphrase, from the file beside the key; undefined where there is none. */
export async function readPublicHalf(path: string): Promise<Uint8Array | undefined> {
  const bytes = await readSecret(publicPath(path))
  if (bytes === undefined) return undefined
  const key = Uint8Array.from(Buffer.from(Buffer.from(bytes).toString('latin1').trim(), 'base64'))
  return key.length === 32 ? key : undefined
}

/** Puts the key at `from` in place of the one at `to`, which is kept beside it under the name that is returned. */
export async function replaceFleetKey(from: string, to: string): Promise<string> {
  const retired = `${to}.retired`
  for (const [source, target] of [
    [to, retired],
    [publicPath(to), publicPath(retired)],
    [publicPath(from), publicPath(to)],
    [from, to],
  ] as const) {
    try {
      await nodeFiles.rename(source, target)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || source === from) throw storageError(error, 'rename', source)
    }
  }
  await syncDirectory(dirname(to))
  return retired
}

const publicPath = (path: string): string => `${path}.pub`

/** O_EXCL: a key that is there is never written over. */
async function createFile(path: string, text: string): Promise<void> {
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    const handle = await nodeFiles.open(path, flags, 0o600)
    try {
      await handle.chmod(0o600)
      await handle.write(Buffer.from(text))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await syncDirectory(dirname(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw exists(path)
    throw storageError(error, 'make', path)
  }
}

const exists = (path: string): AditError =>
  new AditError(
    'fleet-key-refused',
    `There is a key at ${path} already.`,
    'Keep it: a fleet has one. To hand over to a new one: adit fleet rotate.',
  )

const noKey = (path: string): AditError =>
  new AditError(
    'fleet-key-refused',
    `There is no fleet key at ${path}.`,
    'Name it with --key, restore it from its backup, or make the first one: adit fleet init.',
  )

const damaged = (path: string): AditError =>
  new AditError('fleet-key-refused', `${path} holds no Ed25519 private key.`, 'Restore it from its backup.')

const wrongPassphrase = (path: string): AditError =>
  new AditError(
    'fleet-key-refused',
    `The passphrase does not open ${path}.`,
    'Try again; without it, restore another copy of the key.',
  )
