import { join } from 'node:path'

/** `sun_path` holds 104 bytes on macOS and 108 on Linux, the closing NUL among them. */
const longestPath = 103

/**
 * Where the tunnel process of a state folder listens: `STATE/tunnel.sock`, or where that path is too long for a Unix socket, a name
 * made from the folder's hash in a private folder of the user. `private` names that folder, which must be made with mode 0700.
 */
export function tunnelSocketPath(
  stateFolder: string,
  machine: { runtimeFolder: string | undefined; temporaryFolder: string; uid: number },
  /** Hex SHA-256 of a text. */
  hash: (text: string) => string,
): { path: string; folder: string } {
  const path = join(stateFolder, 'tunnel.sock')
  if (Buffer.byteLength(path) <= longestPath) return { path, folder: stateFolder }
  const runtime = machine.runtimeFolder
  const folder =
    runtime !== undefined && Buffer.byteLength(runtime) <= 60
      ? join(runtime, 'adit')
      : join(machine.temporaryFolder, `adit-${machine.uid}`)
  return { path: join(folder, `${hash(stateFolder).slice(0, 16)}.sock`), folder }
}
