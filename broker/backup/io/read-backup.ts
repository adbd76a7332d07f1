import { type FileHandle, open } from 'node:fs/promises'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { storageError } from '#shared/platform/files.ts'
import { ArchiveParser, type ArchiveReader } from '../archive-entry.ts'
import { type BackupHeader, CHECK_LENGTH, damaged, decodeHeader, FIXED_LENGTH, headerLength } from '../backup-header.ts'
import { SEALED_LENGTH, SealedChunks } from '../sealed-chunks.ts'
import { backupKeys, checkPassphrase } from './backup-key.ts'

/** A backup whose passphrase has been found right; each walk verifies it to its end. */
export interface OpenBackup {
  readonly header: BackupHeader
  /** Gives what is in it to `reader`. Throws AditError `backup-damaged` where it is not whole: what was given before is then not to be used. */
  walk(reader: ArchiveReader): Promise<void>
  close(): Promise<void>
}

/** Throws AditError `backup-damaged`, `backup-newer`, `passphrase-wrong`, and `storage-failed`. */
export async function openBackup(path: string, passphrase: () => Promise<string>, suite: Suite): Promise<OpenBackup> {
  const file = await open(path, 'r').catch((error) => {
    if (error.code === 'ENOENT')
      throw new AditError('not-found', `There is no backup ${path}.`, 'Name the file that adit-broker backup has written.')
    throw storageError(error, 'read', path)
  })
  try {
    const fixed = await read(file, 0, FIXED_LENGTH)
    const length = headerLength(fixed)
    const text = await read(file, FIXED_LENGTH, length)
    const header = decodeHeader(text)
    const check = await read(file, FIXED_LENGTH + length, CHECK_LENGTH)
    const keys = await backupKeys(await passphrase(), header, suite)
    checkPassphrase(keys, check)
    const begin = Buffer.concat([fixed, text, check])
    return {
      header,
      walk: (reader) => walk(file, begin, keys.key, reader, suite),
      async close() {
        keys.key.fill(0)
        await file.close()
      },
    }
  } catch (error) {
    await file.close()
    if (isAditError(error)) throw error
    throw storageError(error, 'read', path)
  }
}

async function walk(file: FileHandle, begin: Uint8Array, key: Uint8Array, reader: ArchiveReader, suite: Suite): Promise<void> {
  const { size } = await file.stat()
  const chunks = new SealedChunks(key, begin, suite)
  const parser = new ArchiveParser(reader)
  if (size <= begin.length) throw damaged('it ends behind its header')
  for (let at = begin.length; at < size; at += SEALED_LENGTH) {
    const sealed = await read(file, at, Math.min(SEALED_LENGTH, size - at))
    await parser.take(chunks.open(sealed, at + SEALED_LENGTH >= size))
  }
  parser.finish()
  chunks.wipe()
}

async function read(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let got = 0; got < length; ) {
    const { bytesRead } = await file.read(bytes, got, length - got, at + got)
    if (bytesRead === 0) throw damaged('it is cut short')
    got += bytesRead
  }
  return bytes
}
