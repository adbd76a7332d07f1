import { constants } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readRootRequest, signListRequest, signRoleRequest, signRootRequest } from '#broker/identity/root-desk.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decryptPrivateKey, encryptPrivateKey } from '#shared/pki/encrypted-key.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { decodePrivateKey, encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { nodeFiles, readSecret, storageError, syncDirectory } from '#shared/platform/files.ts'
import { inputText, type Terminal } from '../terminal.ts'

/** Requests, answers and the root's own file: what is carried between the broker and where the root is. */

export const readPublicFile = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new AditError('not-found', `There is no file ${path}.`, 'Name one that is there.')
    throw storageError(error, 'read', path)
  }
}

export const writePublicFile = (path: string, text: string): Promise<void> => create(path, text, 0o644)

/** 0600, and only where nothing is yet. */
export const writeSecretFile = (path: string, text: string): Promise<void> => create(path, text, 0o600)

async function create(path: string, text: string, mode: number): Promise<void> {
  try {
    const handle = await nodeFiles.open(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      mode,
    )
    try {
      await handle.chmod(mode)
      await handle.write(Buffer.from(text))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await syncDirectory(dirname(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new AditError('usage', `${path} is there already.`, 'Name another file, or move that one away.')
    throw storageError(error, 'write', path)
  }
}

/** The first line of the file, or of standard input. */
export async function passphraseOf(file: string | undefined, terminal: Terminal): Promise<string> {
  const text = file === undefined ? inputText((await terminal.input?.()) ?? '') : ((await readPublicFile(file)) ?? '')
  const passphrase = text.split('\n', 1)[0]?.replace(/\r$/, '') ?? ''
  if (passphrase !== '') return passphrase
  throw new AditError('usage', 'There is no passphrase.', 'Give it on standard input, or by --passphrase-file FILE.')
}

/** The root in its file: the key has to be the certificate's. Throws AditError. */
export async function readRootFile(path: string, passphrase: string): Promise<Ca> {
  const bytes = await readSecret(path)
  if (bytes === undefined) throw new AditError('not-found', `There is no ${path}.`, 'Name the file of ca root export.')
  const text = Buffer.from(bytes).toString('latin1')
  const [der] = decodePem('CERTIFICATE', text)
  if (der === undefined) throw unusable(path, 'holds no certificate')
  const plain = decryptPrivateKey(text, passphrase)
  if (plain === undefined) throw unusable(path, 'does not open with this passphrase')
  const certificate = parseCertificate(der)
  const pair = decodePrivateKey('p256', plain, nativeSuite)
  if (Buffer.compare(p256Spki(pair.publicKey), certificate.spki) !== 0) throw unusable(path, 'holds a key of another root')
  return { certificate, pair }
}

/** Reads what was written, to the key. `fingerprint`: SHA-256 of the root, hex. */
export async function checkRootFile(path: string, passphrase: string): Promise<{ fingerprint: string }> {
  const { certificate } = await readRootFile(path, passphrase)
  return { fingerprint: rootName(certificate, nativeSuite) }
}

export interface SignOptions {
  readonly root: string
  readonly in: string
  readonly out: string
  readonly newRoot?: string
  readonly pkiUrl?: string
  readonly passphraseFile?: string
}

/** Answers a request with the root's file. A new root is on disk before the answer that speaks of it. */
export async function signWithRootFile(options: SignOptions, terminal: Terminal): Promise<{ asks: string; out: string }> {
  const request = await readPublicFile(options.in)
  const { asks, line } = readRootRequest(request)
  const pkiUrl = options.pkiUrl === undefined ? undefined : checkedUrl(options.pkiUrl)
  if (line === 'root' && options.newRoot === undefined)
    throw new AditError('usage', 'This asks for a new root.', 'Say where its key is to be written: --new-root FILE')
  const passphrase = await passphraseOf(options.passphraseFile, terminal)
  const root = await readRootFile(options.root, passphrase)
  const now = systemClock.wall()
  if (line !== 'root') {
    const sign = line === 'crl' ? signListRequest : signRoleRequest
    await writePublicFile(options.out, sign(request, root, now, nativeSuite, pkiUrl))
    return { asks, out: options.out }
  }
  const { answer, next } = signRootRequest(request, root, now, nativeSuite, pkiUrl)
  const key = encryptPrivateKey(encodePrivateKey('p256', next.pair), passphrase, nativeSuite)
  await writeSecretFile(options.newRoot!, key + encodePem('CERTIFICATE', next.certificate.der))
  await writePublicFile(options.out, answer)
  return { asks, out: options.out }
}

/** Without a slash at its end. */
function checkedUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && /^[\x21-\x7e]+$/.test(text))
    return text.replace(/\/+$/, '')
  throw new AditError('usage', `${text} is no place for lists.`, 'Say it as the broker does in [pki] url: http://pki.example.net')
}

const unusable = (path: string, why: string): AditError =>
  new AditError('request-refused', `${path} ${why}.`, 'Name the file of ca root export, and its passphrase.')
