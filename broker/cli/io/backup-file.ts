import { chown, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BackupHeader } from '#broker/backup/backup-header.ts'
import { readDataFiles, sameFiles } from '#broker/backup/io/data-files.ts'
import { openBackup } from '#broker/backup/io/read-backup.ts'
import { checkBackup, type Restored, restoreBackup } from '#broker/backup/io/restore-backup.ts'
import { writeBackup } from '#broker/backup/io/write-backup.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { askPassphrase } from '#shared/platform/ask-passphrase.ts'
import { systemClock } from '#shared/platform/clock.ts'

type Snapshot = Omit<BackupHeader, 'kdf'> & { name: string }

interface MakeOptions {
  readonly dataDir: string
  readonly out: string
  readonly passphraseFile: string | undefined
  snapshot(): Promise<Snapshot>
  discard(name: string): Promise<unknown>
}

/** Keys and certificates may change while the registry is copied: then all is done again, so many times. */
const attempts = 3

/** Files and registry of one moment. */
export async function makeFile({ dataDir, out, passphraseFile, snapshot, discard }: MakeOptions) {
  const passphrase = await askPassphrase(passphraseFile, { twice: true, of: 'the backup' })
  for (let attempt = 1; ; attempt++) {
    const before = await readDataFiles(dataDir).catch(emptyWhereNone)
    const { name, ...header } = await snapshot()
    try {
      const files = await readDataFiles(dataDir)
      if (!sameFiles(before, files) && attempt < attempts) continue
      const content = { header, files, registry: join(dataDir, name) }
      const bytes = await writeBackup(resolve(out), passphrase, content, nativeSuite)
      return { file: resolve(out), files: files.length + 1, bytes, made: iso(header.made), incarnation: header.incarnation }
    } finally {
      await discard(name)
    }
  }
}

export const checkFile = (path: string, passphraseFile: string | undefined) =>
  withBackup(path, passphraseFile, async (backup) => documentOf(await checkBackup(backup)))

export async function restoreFile(path: string, dataDir: string, passphraseFile: string | undefined) {
  // The folder's owner may be the broker's own user, for whom root restores.
  const owner = await stat(dataDir).catch(() => undefined)
  return withBackup(path, passphraseFile, async (backup) => {
    const restored = await restoreBackup(backup, dataDir, systemClock.wall(), nativeSuite)
    if (owner !== undefined && process.geteuid?.() === 0 && owner.uid !== 0) await giveTo(dataDir, owner)
    return { data: resolve(dataDir), ...documentOf(restored) }
  })
}

async function withBackup<T>(
  path: string,
  passphraseFile: string | undefined,
  work: (backup: Awaited<ReturnType<typeof openBackup>>) => Promise<T>,
): Promise<T> {
  const backup = await openBackup(resolve(path), () => askPassphrase(passphraseFile, { of: 'the backup' }), nativeSuite)
  try {
    return await work(backup)
  } finally {
    await backup.close()
  }
}

async function giveTo(path: string, owner: { uid: number; gid: number }): Promise<void> {
  const { readdir } = await import('node:fs/promises')
  for (const name of await readdir(path, { recursive: true })) await chown(join(path, name), owner.uid, owner.gid)
  await chown(path, owner.uid, owner.gid)
}

const documentOf = ({ files, bytes, header }: Restored) => ({
  ...{ files, bytes, made: iso(header.made), by: header.by, fleet: header.fleet, incarnation: header.incarnation },
})

/** A folder that no broker has run on yet: the snapshot makes it. */
function emptyWhereNone(error: unknown): never[] {
  const { cause } = error as AditError
  if (error instanceof AditError && (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return []
  throw error
}

const iso = (ms: number): string => new Date(ms).toISOString()
