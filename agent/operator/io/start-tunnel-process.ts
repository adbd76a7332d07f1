import { spawn } from 'node:child_process'
import { open, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { notLoggedIn } from '#agent/operator/not-logged-in.ts'
import { errorFrom } from '#agent/operator/tunnel-protocol.ts'
import { storageError } from '#shared/platform/files.ts'

interface StartOptions {
  stateFolder: string
  program: readonly string[]
}

/** A marker older than this was left by a command that was killed while it started the process, ms. */
const staleMs = 20_000

/**
 * Starts the tunnel process, detached, and waits until it listens or says why it cannot. Returns false where another command is just
 * doing the same: twenty commands at once then start one process, not twenty. The marker that tells them so is a courtesy; what
 * allows but one tunnel is the lock that the process itself takes. Throws AditError `not-enrolled` where there is no state folder.
 */
export async function startTunnelProcess({ stateFolder, program }: StartOptions): Promise<boolean> {
  const marker = join(stateFolder, 'tunnel.starting')
  if (!(await mark(marker, stateFolder))) return false
  try {
    await launch(stateFolder, program)
    return true
  } finally {
    await rm(marker, { force: true })
  }
}

async function mark(path: string, stateFolder: string): Promise<boolean> {
  try {
    await (await open(path, 'wx', 0o600)).close()
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw notLoggedIn(stateFolder)
    if (code !== 'EEXIST') throw storageError(error, 'write', path)
  }
  const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now())
  if (age > staleMs) await rm(path, { force: true })
  return false
}

/** Resolves when the process listens, or when it found that another one holds the tunnel; rejects with the AditError that it ended by. */
async function launch(stateFolder: string, [node, ...script]: readonly string[]): Promise<void> {
  // Its log begins anew with each start, so it stays small: what matters is why the last one failed.
  const log = await open(join(stateFolder, 'tunnel.log'), 'w', 0o600)
  try {
    const child = spawn(node!, [...script, '--state', stateFolder, 'tunnel-process'], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
      cwd: '/',
    })
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => resolve())
      child.once('message', (message) => {
        const error = typeof message === 'object' && message !== null ? errorFrom(message as Record<string, unknown>) : undefined
        if (error === undefined || error.code === 'state-locked') resolve()
        else reject(error)
      })
    })
    if (child.connected) child.disconnect()
    child.unref()
  } finally {
    await log.close()
  }
}
