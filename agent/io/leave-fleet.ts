import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { boardFiles } from './board-identity.ts'
import { eraseEntry } from './erase-entry.ts'
import { type StateFolder, stateFiles } from './state-folder.ts'
import { backupOf } from './two-copies.ts'

/** The board's own, whoever owns it: its maker's files, the order of vouchers, the floors (which never go back), and its configuration. */
const kept: ReadonlySet<string> = new Set([...Object.values(boardFiles), stateFiles.floor, stateFiles.config])

/** First, so that a power cut leaves nothing that could still speak for the old owner's device. */
const keysFirst = [stateFiles.identityKey, stateFiles.identityToken, stateFiles.tunnelKey].flatMap((name) => [
  name,
  backupOf(name),
])

/**
 * Erases all that an owner has put into the state folder, or that the board has gathered under it: keys, certificates, pinned fleet key,
 * statements, readings that nobody has fetched. Doing it again after a power cut ends the same way.
 */
export async function leaveFleet(folder: StateFolder): Promise<void> {
  const there = new Set(await readdir(folder.path))
  const keys = keysFirst.filter((name) => there.has(name))
  const others = [...there].filter((name) => !keys.includes(name) && isOwners(name)).sort()
  for (const name of [...keys, ...others]) await eraseEntry(join(folder.path, name))
}

/** Sockets and locks belong to processes that run. */
const isOwners = (name: string): boolean => !kept.has(name) && !/\.sock$|^lock\./.test(name)
