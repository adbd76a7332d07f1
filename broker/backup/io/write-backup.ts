import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { storageError, syncDirectory } from '#shared/platform/files.ts'
import { archiveEnd, encodeEntry } from '../archive-entry.ts'
import { type BackupHeader, encodeHeader } from '../backup-header.ts'
import { CHUNK_LENGTH, SealedChunks } from '../sealed-chunks.ts'
import { backupCosts, backupKeys } from './backup-key.ts'
import { type DataFile, registryName } from './data-files.ts'

export interface BackupContent {
  readonly header: Omit<BackupHeader, 'kdf'>
  readonly files: readonly DataFile[]
  /** A snapshot of the registry. */
  readonly registry: string
}

/**
 * Writes the backup beside `path` and gives it its name when it is whole and on the disk; a file that has the name already is not
 * touched. Returns its length in bytes. Throws AditError `usage` where there is one, and storage errors.
 */
export async function writeBackup(
  path: string,
  passphrase: string,
  content: BackupContent,
  suite: Suite,
  costs = backupCosts,
): Promise<number> {
  if (await exists(path))
    throw new AditError('usage', `${path} is there already.`, 'Name a file that is not: no backup is overwritten.')
  const header: BackupHeader = { kdf: { name: 'scrypt', salt: toHex(suite.random(16)), ...costs }, ...content.header }
  const { key, check } = await backupKeys(passphrase, header, suite)
  const begin = Buffer.concat([encodeHeader(header), check])
  const draft = `${path}.${toHex(suite.random(4))}.tmp`
  try {
    const out = await open(draft, 'wx', 0o600)
    try {
      await out.writeFile(begin)
      await writeChunks(out, new SealedChunks(key, begin, suite), content)
      await out.sync()
    } finally {
      await out.close()
    }
    await rename(draft, path)
    await syncDirectory(dirname(path))
    return (await stat(path)).size
  } catch (error) {
    await rm(draft, { force: true })
    throw storageError(error, 'write', path)
  } finally {
    key.fill(0)
  }
}

async function writeChunks(out: FileHandle, chunks: SealedChunks, content: BackupContent): Promise<void> {
  let pending: Buffer = Buffer.alloc(0)
  for await (const piece of plaintext(content)) {
    pending = Buffer.concat([pending, piece])
    while (pending.length > CHUNK_LENGTH) {
      await out.writeFile(chunks.seal(pending.subarray(0, CHUNK_LENGTH), false))
      pending = pending.subarray(CHUNK_LENGTH)
    }
  }
  await out.writeFile(chunks.seal(pending, true))
  chunks.wipe()
}

async function* plaintext({ files, registry }: BackupContent): AsyncGenerator<Uint8Array> {
  for (const { path, bytes } of files) {
    yield encodeEntry({ path, size: bytes.length })
    yield bytes
  }
  const database = await open(registry, 'r')
  try {
    const { size } = await database.stat()
    yield encodeEntry({ path: registryName, size })
    const piece = Buffer.alloc(CHUNK_LENGTH)
    for (let at = 0; at < size; ) {
      const { bytesRead } = await database.read(piece, 0, Math.min(piece.length, size - at), at)
      if (bytesRead === 0) throw new AditError('storage-failed', `${registry} became shorter while it was read.`, 'Try again.')
      yield Uint8Array.from(piece.subarray(0, bytesRead))
      at += bytesRead
    }
  } finally {
    await database.close()
  }
  yield archiveEnd
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
