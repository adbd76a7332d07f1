import { lstat, open, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { storageError, syncDirectory } from '../files.ts'
import type { FileState, ResolvConfBackup } from './ledger.ts'

/** /etc/resolv.conf, or what stands for it: looked at, replaced at once, and put back as it was (resolv.conf(5)). */

/** The content that names our servers and nothing else: a search list would tell them what the network before was called. */
export function resolvConfOf(servers: readonly string[]): string {
  const lines = servers.map((server) => `nameserver ${server}`)
  return `# By adit, while all traffic goes into its tunnel. What was here before comes back when it ends, or at its next start.\n${lines.join('\n')}\n`
}

/** The name servers that a file names. */
export function nameServersOf(content: string): string[] {
  return [...content.matchAll(/^nameserver[ \t]+(\S+)/gm)].map(([, server]) => server!)
}

export async function lookAt(path: string): Promise<FileState> {
  try {
    const facts = await lstat(path)
    if (facts.isSymbolicLink()) return { kind: 'symlink', target: await readlink(path) }
    if (!facts.isFile()) throw new AditError('storage-failed', `${path} is no file.`, 'Move what is there away.')
    const content = (await readFile(path)).toString('base64')
    return { kind: 'file', content, mode: facts.mode & 0o7777, uid: facts.uid, gid: facts.gid }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'absent' }
    throw storageError(error, 'read', path)
  }
}

/** What a program that asks for names reads there, links followed; empty where there is nothing. */
export const contentAt = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')

/** Whether the file is one that we have put there. */
export function isOurs(state: FileState, ours: readonly string[]): boolean {
  return state.kind === 'file' && ours.some((content) => encoded(content) === state.content)
}

/** Puts our servers there, readable by everybody. */
export async function replaceResolvConf(path: string, content: string): Promise<void> {
  const { uid, gid } = ourselves()
  await put(path, { kind: 'file', content: encoded(content), mode: 0o644, uid, gid })
}

/** Undoes the replacement; `changed`: what is there now is somebody else's, and stays. */
export async function putBack({ path, before, ours }: ResolvConfBackup): Promise<'put-back' | 'changed'> {
  await rm(temporaryOf(path), { force: true })
  const now = await lookAt(path)
  if (isOurs(now, ours)) await put(path, before)
  else if (JSON.stringify(now) !== JSON.stringify(before)) return 'changed'
  return 'put-back'
}

async function put(path: string, state: FileState): Promise<void> {
  const temporary = temporaryOf(path)
  try {
    if (state.kind === 'absent') await rm(path, { force: true })
    else {
      await rm(temporary, { force: true })
      if (state.kind === 'symlink') await symlink(state.target, temporary)
      else await writeWhole(temporary, state)
      await moveOver(temporary, path, state)
    }
    await syncDirectory(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw storageError(error, 'write', path)
    const mend = 'Let systemd-resolved run (its settings need no file), run as root, or leave route = "all".'
    throw new AditError('permission-missing', `This user may not replace ${path} (${code}).`, mend, { cause: error })
  }
}

/** A container has the file mounted, which no rename can replace: then its content is. */
async function moveOver(temporary: string, path: string, state: FileState): Promise<void> {
  try {
    await rename(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || state.kind !== 'file') throw error
    await writeFile(path, Buffer.from(state.content, 'base64'), { flush: true } as Parameters<typeof writeFile>[2])
    await rm(temporary, { force: true })
  }
}

async function writeWhole(path: string, { content, mode, uid, gid }: FileState & { kind: 'file' }): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(Buffer.from(content, 'base64'))
    const us = ourselves()
    if (uid !== us.uid || gid !== us.gid) await handle.chown(uid, gid)
    await handle.chmod(mode)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Always the same: what a killed run has left there is found. */
const temporaryOf = (path: string): string => join(dirname(path), `.${basename(path)}.adit`)

const encoded = (content: string): string => Buffer.from(content).toString('base64')

const ourselves = (): { uid: number; gid: number } => ({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 })
