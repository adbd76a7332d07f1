import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { toAditError } from '#shared/errors.ts'
import { storageError } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'
import { withShortPath } from '#shared/platform/short-path.ts'

/** Longest request line, in characters. */
const longestLine = 256 * 1024

export interface AdminServer {
  close(): Promise<void>
}

export const adminSocketPath = (dataDir: string): string => join(dataDir, 'admin.sock')

/**
 * Listens on DATA/admin.sock (0600 in a folder of 0700) for lines `{"verb", "args"}`, and answers each with `{"result"}` or
 * `{"error": {error, message, mend}}`. The caller holds the folder's lock: whatever socket lies there is a dead broker's.
 */
export async function serveAdmin(
  dataDir: string,
  perform: (verb: string, args: unknown) => Promise<unknown>,
  log: Log,
): Promise<AdminServer> {
  const path = adminSocketPath(dataDir)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    void converse(socket, perform, log)
  })
  await rm(path, { force: true })
  try {
    await withShortPath(path, (short) => listen(server, short))
  } catch (error) {
    throw storageError(error, 'listen on', path)
  }
  await chmod(path, 0o600)
  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.end()
      await rm(path, { force: true })
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function converse(socket: Socket, perform: (verb: string, args: unknown) => Promise<unknown>, log: Log): Promise<void> {
  let held = 0
  socket.on('data', (chunk: Buffer) => {
    // readline holds a line until it ends: one that never does must not fill the memory.
    held = chunk.includes(0x0a) ? 0 : held + chunk.length
    if (held > longestLine) socket.destroy()
  })
  try {
    for await (const line of createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })) {
      socket.write(`${JSON.stringify(await answer(line, perform, log))}\n`)
    }
  } catch (error) {
    log.debug({ error }, 'an administrator hung up')
  }
}

async function answer(line: string, perform: (verb: string, args: unknown) => Promise<unknown>, log: Log): Promise<object> {
  try {
    const { verb, args } = JSON.parse(line) as { verb?: unknown; args?: unknown }
    const name = String(verb)
    log.debug({ verb: name }, 'admin request')
    return { result: (await perform(name, args)) ?? null }
  } catch (error) {
    const known = toAditError(error)
    if (known.code === 'internal') log.error({ error }, 'an admin request failed')
    return { error: known.toJSON() }
  }
}

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
