import { constants, type Stats } from 'node:fs'
import { chmod, type FileHandle, lstat, mkdir, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { shellWord } from '#shared/terminal/shell-word.ts'

/**
 * Files that must survive a power cut and be read by nobody else. A write is: unique temporary file (O_EXCL, mode set on the handle,
 * so that no umask loosens or tightens it), fsync, rename, fsync of the directory. After a crash at any instant the name holds the
 * whole old content or the whole new one (F-02); a left-over `.NAME.*.tmp` is garbage that nothing reads.
 */

/** The system calls that writing needs: a test records them and replays every prefix. */
export interface FilePort {
  mkdir(path: string, mode: number): Promise<void>
  /** Opens with the flags of open(2). */
  open(path: string, flags: number, mode: number): Promise<FilePortHandle>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  lstat(path: string): Promise<FileFacts>
  /** Makes the entries of a directory durable. */
  syncDirectory(path: string): Promise<void>
}

export interface FilePortHandle {
  write(data: Uint8Array): Promise<void>
  chmod(mode: number): Promise<void>
  sync(): Promise<void>
  facts(): Promise<FileFacts>
  read(): Promise<Uint8Array>
  close(): Promise<void>
}

export interface FileFacts {
  kind: 'file' | 'directory' | 'symlink' | 'other'
  /** Permission bits, 0 to 0o7777. */
  mode: number
  uid: number
  links: number
  /** Bytes. */
  size: number
}

/** Largest file that is read whole, in bytes. */
const sizeLimit = 16 * 1024 * 1024

/** Makes `path` a directory of mode 0700 (parents too, where missing), or refuses one that others may write to or that is not ours. */
export async function makePrivateDirectory(path: string, port: FilePort = nodeFiles): Promise<void> {
  const facts = await factsOf(path, port)
  if (facts === undefined) {
    const parent = dirname(path)
    if (parent !== path && (await factsOf(parent, port)) === undefined) await makePrivateDirectory(parent, port)
    try {
      await port.mkdir(path, 0o700)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw storageError(error, 'make the folder', path)
    }
    await port.syncDirectory(parent)
    return checkDirectory(path, (await factsOf(path, port)) ?? missing(path))
  }
  checkDirectory(path, facts)
}

/** Replaces the content of `path` at once and durably. */
export async function writeDurably(
  path: string,
  data: Uint8Array | string,
  options: { mode?: number } = {},
  port: FilePort = nodeFiles,
): Promise<void> {
  const temporary = await writeTemporary(path, data, options.mode ?? 0o600, port)
  try {
    await port.rename(temporary, path)
  } catch (error) {
    await port.unlink(temporary).catch(() => undefined)
    throw storageError(error, 'write', path)
  }
  await syncDirectory(dirname(path), port)
}

/** The content of `path`, or undefined where there is no such file. Symlinks are followed: not for secrets. */
export async function readIfPresent(path: string, port: FilePort = nodeFiles): Promise<Uint8Array | undefined> {
  return read(path, constants.O_RDONLY, undefined, port)
}

/**
 * The content of a file that only its owner may touch, or undefined where there is none. Throws AditError `permission-unsafe` where it
 * is a symbolic link, has another hard link, belongs to another user, or grants any right to group or others (P-32, A-47).
 */
export async function readSecret(path: string, port: FilePort = nodeFiles): Promise<Uint8Array | undefined> {
  // O_NOFOLLOW, and facts of the open handle: a link put there between a check and the open would not be seen otherwise.
  return read(path, constants.O_RDONLY | constants.O_NOFOLLOW, checkSecret, port)
}

/** Removes a file durably; one that is not there is fine. */
export async function removeDurably(path: string, port: FilePort = nodeFiles): Promise<void> {
  try {
    await port.unlink(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw storageError(error, 'remove', path)
  }
  await syncDirectory(dirname(path), port)
}

async function writeTemporary(path: string, data: Uint8Array | string, mode: number, port: FilePort): Promise<string> {
  const temporary = temporaryName(path)
  let handle: FilePortHandle | undefined
  try {
    handle = await port.open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode)
    await handle.chmod(mode)
    await handle.write(typeof data === 'string' ? Buffer.from(data) : data)
    await handle.sync()
    await handle.close()
    return temporary
  } catch (error) {
    await handle?.close().catch(() => undefined)
    await port.unlink(temporary).catch(() => undefined)
    throw storageError(error, 'write', path)
  }
}

let written = 0

/** Unique among processes by the process number, within one by a count; O_EXCL refuses what a dead process of that number left. */
function temporaryName(path: string): string {
  written += 1
  const name = path.slice(path.lastIndexOf('/') + 1)
  return `${dirname(path)}/.${name}.${process.pid}.${process.hrtime.bigint().toString(36)}${written}.tmp`
}

async function read(
  path: string,
  flags: number,
  check: ((path: string, facts: FileFacts) => void) | undefined,
  port: FilePort,
): Promise<Uint8Array | undefined> {
  let handle: FilePortHandle
  try {
    // O_NONBLOCK: opening a FIFO that someone put there must not hang us.
    handle = await port.open(path, flags | constants.O_NONBLOCK, 0)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    if (codeOf(error) === 'ELOOP') throw unsafe(path, 'is a symbolic link', `Put the file itself at ${path}.`)
    throw storageError(error, 'read', path)
  }
  try {
    const facts = await handle.facts()
    if (facts.kind !== 'file') throw unsafe(path, 'is not a regular file', `Move what is at ${path} away.`)
    check?.(path, facts)
    if (facts.size > sizeLimit) throw new AditError('storage-failed', `${path} is too large to be read.`, 'Move it away.')
    return await handle.read()
  } catch (error) {
    throw storageError(error, 'read', path)
  } finally {
    await handle.close()
  }
}

function checkSecret(path: string, facts: FileFacts): void {
  if (facts.links > 1) throw unsafe(path, 'has a second hard link', 'Copy it, delete every link, and put the copy in its place.')
  if (!ours(facts.uid))
    throw unsafe(path, 'belongs to another user', `Give it to the user that runs this: chown USER ${shellWord(path)}`)
  if ((facts.mode & 0o077) !== 0) {
    throw unsafe(
      path,
      `can be reached by others (mode ${facts.mode.toString(8).padStart(4, '0')})`,
      `Run: chmod 600 ${shellWord(path)}`,
    )
  }
}

function checkDirectory(path: string, facts: FileFacts): void {
  if (facts.kind === 'symlink') throw unsafe(path, 'is a symbolic link', 'Name the folder that it points to.')
  if (facts.kind !== 'directory') throw unsafe(path, 'is not a folder', 'Choose another folder.')
  if (!ours(facts.uid))
    throw unsafe(path, 'belongs to another user', `Give it to the user that runs this: chown USER ${shellWord(path)}`)
  if ((facts.mode & 0o077) !== 0) {
    throw unsafe(
      path,
      `can be reached by others (mode ${facts.mode.toString(8).padStart(4, '0')})`,
      `Run: chmod 700 ${shellWord(path)}`,
    )
  }
}

const ours = (uid: number): boolean => process.geteuid === undefined || uid === process.geteuid()

const unsafe = (path: string, why: string, mend: string): AditError => new AditError('permission-unsafe', `${path} ${why}.`, mend)

const missing = (path: string): never => {
  throw new AditError('storage-failed', `${path} vanished while it was made.`, 'Try again.')
}

async function factsOf(path: string, port: FilePort): Promise<FileFacts | undefined> {
  try {
    return await port.lstat(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw storageError(error, 'look at', path)
  }
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string, port: FilePort = nodeFiles): Promise<void> {
  try {
    await port.syncDirectory(path)
  } catch (error) {
    throw storageError(error, 'write', path)
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

/** An error of a system call as a sentence; an AditError stays itself. */
export function storageError(error: unknown, verb: string, path: string): AditError {
  if (error instanceof AditError) return error
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new AditError('disk-full', `No room is left to ${verb} ${path}.`, 'Free some space on that disk.', { cause: error })
  }
  if (code === 'EROFS') {
    const message = `Cannot ${verb} ${path}: it is on a file system that is mounted read-only (EROFS).`
    const mend = 'Mount it for writing (mount -o remount,rw), or choose another folder.'
    return new AditError('storage-failed', message, mend, { cause: error })
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const mend = `Run as the owner of ${dirname(path)}, or choose another folder.`
    return new AditError('storage-failed', `This user may not ${verb} ${path} (${code}).`, mend, { cause: error })
  }
  if (code === 'ENOENT') {
    const makes = verb === 'write' || verb.startsWith('make')
    const message = `Cannot ${verb} ${path}: ${makes ? `there is no folder ${dirname(path)}` : 'it is not there'}.`
    const mend = makes ? 'Make that folder first, or name another place.' : 'Look at the name.'
    return new AditError('storage-failed', message, mend, { cause: error })
  }
  if (code === 'ENOTDIR') {
    const message = `Cannot ${verb} ${path}: what stands before its last part is no folder.`
    return new AditError('storage-failed', message, 'Name another place.', { cause: error })
  }
  const reason = error instanceof Error ? error.message : String(error)
  return new AditError('storage-failed', `Cannot ${verb} ${path}: ${reason}.`, 'Check the disk and the folder.', { cause: error })
}

/** The port over this machine's file system. */
export const nodeFiles: FilePort = {
  async mkdir(path, mode) {
    await mkdir(path, { mode })
    // mkdir(2) masks the mode with the umask; one of 0777 would lock ourselves out.
    await chmod(path, mode)
  },
  async open(path, flags, mode) {
    return new NodeHandle(await open(path, flags, mode))
  },
  rename,
  unlink,
  async lstat(path) {
    return factsFrom(await lstat(path))
  },
  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
}

class NodeHandle implements FilePortHandle {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#handle.writeFile(data)
  }
  chmod(mode: number): Promise<void> {
    return this.#handle.chmod(mode)
  }
  sync(): Promise<void> {
    return this.#handle.sync()
  }
  async facts(): Promise<FileFacts> {
    return factsFrom(await this.#handle.stat())
  }
  read(): Promise<Uint8Array> {
    return this.#handle.readFile()
  }
  close(): Promise<void> {
    return this.#handle.close()
  }
}

function factsFrom(stat: Stats): FileFacts {
  const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other'
  return { kind, mode: stat.mode & 0o7777, uid: stat.uid, links: stat.nlink, size: stat.size }
}
