import { createServer, type Socket } from 'node:net'
import { joinStreams } from '#agent/io/join-streams.ts'
import type { ForwardSpec } from '#agent/operator/forward-spec.ts'
import { AditError } from '#shared/errors.ts'

interface ForwardListenerOptions {
  /** A stream to the far end, connected. */
  open(): Promise<Socket>
  /** One connection could not be made; the listener goes on. */
  onFailure(error: unknown): void
}

interface ForwardListener {
  readonly address: string
  readonly port: number
  close(): void
}

/** Listens locally and joins each connection to a new far end. Throws AditError `port-in-use` or `usage`. */
export function listenForward(spec: ForwardSpec, { open, onFailure }: ForwardListenerOptions): Promise<ForwardListener> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (local) => {
    local.on('error', () => local.destroy())
    open().then(
      (far) => {
        if (local.destroyed) far.destroy()
        else joinStreams(local, far)
      },
      (error: unknown) => {
        // A reset, as a refused connection would look to the program that asked.
        local.resetAndDestroy()
        onFailure(error)
      },
    )
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, spec)))
    server.listen({ host: spec.bind, port: spec.port }, () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) {
        resolve({ address: address.address, port: address.port, close: () => server.close() })
      }
    })
  })
}

function listenError(error: NodeJS.ErrnoException, { bind, port }: ForwardSpec): AditError {
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
