import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { AditError, type ErrorCode, exitStatuses } from '#shared/errors.ts'
import { withShortPath } from '#shared/platform/short-path.ts'
import { adminSocketPath } from './admin-server.ts'

/** Asks the broker that runs on `dataDir`; undefined where none answers there. Throws the AditError that the broker gave. */
export async function askBroker(dataDir: string, verb: string, args: unknown): Promise<{ result: unknown } | undefined> {
  const socket = await withShortPath(adminSocketPath(dataDir), open)
  if (!socket) return undefined
  try {
    socket.write(`${JSON.stringify({ verb, args })}\n`)
    for await (const line of createInterface({ input: socket })) return readAnswer(line)
    throw unanswered()
  } finally {
    socket.destroy()
  }
}

/** The open connection, or undefined where nobody listens. */
function open(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.off('error', fail)
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    const fail = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTSOCK' || error.code === 'ENOTDIR')
        resolve(undefined)
      else reject(unreachable(path, error))
    }
    socket.once('error', fail)
  })
}

function readAnswer(line: string): { result: unknown } {
  const answer = JSON.parse(line) as { result?: unknown; error?: { error: string; message: string; mend: string } }
  if (!answer.error) return { result: answer.result }
  const { error, message, mend } = answer.error
  throw new AditError(error in exitStatuses ? (error as ErrorCode) : 'internal', message, mend)
}

/** Not asked again by ourselves: it may have been done. */
const unanswered = (): AditError =>
  new AditError(
    'broker-unreachable',
    'The broker stopped before it answered.',
    'List what there is, and repeat the command if it was not done.',
  )

const unreachable = (path: string, cause: NodeJS.ErrnoException): AditError =>
  new AditError(
    'broker-unreachable',
    `The broker's socket ${path} cannot be opened (${cause.code}).`,
    'Run this as the user that runs the broker.',
    {
      cause,
    },
  )
