import { createServer, type Socket } from 'node:net'
import { joinStreams } from '#agent/io/join-streams.ts'
import type { ForwardSpec } from '#agent/operator/forward-spec.ts'
import { AditError } from '#shared/errors.ts'

/** A local place to listen at. */
export type ListenPlace = Pick<ForwardSpec, 'bind' | 'port'>

interface ForwardOptions {
  /** A stream to the far end, connected. */
  open(): Promise<Socket>
  /** One connection could not be made; the listener goes on. */
  onFailure(error: unknown): void
  /** A connection has ended. */
  onEnd(): void
}

interface ForwardListener {
  readonly address: string
  readonly port: number
  close(): void
}

/** Joins a local connection, paused, to a new far end. */
export async function carryForward(local: Socket, { open, onFailure, onEnd }: ForwardOptions): Promise<void> {
  try {
    const far = await open()
    if (local.destroyed) return void far.destroy()
    far.once('close', onEnd)
    joinStreams(local, far)
  } catch (error) {
    // A reset, as a refused connection would look to the program that asked.
    local.resetAndDestroy()
    onFailure(error)
  }
}

/** Listens locally and hands over each connection, paused. Throws AditError `port-in-use` or `usage`. */
export function listenForward(place: ListenPlace, serve: (local: Socket) => void): Promise<ForwardListener> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (local) => {
    local.on('error', () => local.destroy())
    serve(local)
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, place)))
    server.listen({ host: place.bind, port: place.port }, () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) {
        resolve({ address: address.address, port: address.port, close: () => server.close() })
      }
    })
  })
}

function listenError(error: NodeJS.ErrnoException, { bind, port }: ListenPlace): AditError {
  if (error.code === 'EADDRINUSE')
    return new AditError(
      'port-in-use',
      `Port ${port} of ${bind} is in use by another program.`,
      'Choose another, or 0 for a free one.',
    )
  return new AditError(
    'usage',
    `Cannot listen on ${bind} port ${port}: ${error.code ?? error.message}.`,
    'Give an address of this machine, and a port above 1023.',
  )
}
