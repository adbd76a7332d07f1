import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { tunnelSocketPath } from '#agent/operator/socket-path.ts'

/** Where the tunnel process of a state folder listens, and the private folder of that socket. */
export function tunnelSocketOf(stateFolder: string): { path: string; folder: string } {
  const machine = {
    runtimeFolder: process.env.XDG_RUNTIME_DIR || undefined,
    temporaryFolder: tmpdir(),
    uid: process.getuid?.() ?? 0,
  }
  return tunnelSocketPath(stateFolder, machine, (text) => createHash('sha256').update(text).digest('hex'))
}
