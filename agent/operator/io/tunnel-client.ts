import { connect, type Socket } from 'node:net'
import { readFirstLine } from '#agent/operator/io/line-socket.ts'
import { startTunnelProcess } from '#agent/operator/io/start-tunnel-process.ts'
import { encodeLine, parseAnswer, type TunnelRequest } from '#agent/operator/tunnel-protocol.ts'
import { AditError } from '#shared/errors.ts'

export interface TunnelClientOptions {
  /** The state folder, absolute. */
  stateFolder: string
  /** Where the tunnel process of that folder listens. */
  socketPath: string
  /** The words that start this program again: node, its own flags, the script. */
  program: readonly string[]
  /** How long a tunnel process may take to listen, ms. */
  patienceMs?: number
}

const defaultPatienceMs = 30_000
/** Between two looks while another command starts the process, ms: jittered, so that twenty commands do not look as one. */
const lookMs = 20
/** A process may leave between our connect and our request: then the next one is asked. */
const attempts = 4

/** Asks the tunnel process of this user, and starts it where there is none. */
export class TunnelClient {
  readonly #options: TunnelClientOptions

  constructor(options: TunnelClientOptions) {
    this.#options = options
  }

  /** Sends one request. The socket then carries what follows the answer. Throws AditError. */
  async request(request: TunnelRequest): Promise<{ socket: Socket; answer: Record<string, unknown> }> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const socket = await this.#attach()
      const line = await exchange(socket, request)
      if (line !== undefined) return { socket, answer: answerOf(line, socket) }
      socket.destroy()
    }
    throw new AditError(
      'tunnel-unreachable',
      'The tunnel process ends as soon as it is asked.',
      `See ${this.#options.stateFolder}/tunnel.log.`,
    )
  }

  /** The same, to a process that already runs; undefined where none does. */
  async requestIfRunning(request: TunnelRequest): Promise<Record<string, unknown> | undefined> {
    const socket = await tryConnect(this.#options.socketPath)
    if (socket === undefined) return undefined
    const line = await exchange(socket, request)
    socket.destroy()
    return line === undefined ? undefined : parseAnswer(line)
  }

  async #attach(): Promise<Socket> {
    const until = Date.now() + (this.#options.patienceMs ?? defaultPatienceMs)
    for (;;) {
      const socket = await tryConnect(this.#options.socketPath)
      if (socket !== undefined) return socket
      if (Date.now() > until)
        throw new AditError(
          'tunnel-unreachable',
          'The tunnel process did not start in time.',
          `See ${this.#options.stateFolder}/tunnel.log, then try again.`,
        )
      const started = await startTunnelProcess(this.#options)
      if (!started) await new Promise((resolve) => setTimeout(resolve, lookMs * (1 + Math.random())))
    }
  }
}

async function exchange(socket: Socket, request: TunnelRequest): Promise<string | undefined> {
  socket.write(encodeLine(request))
  return readFirstLine(socket)
}

function answerOf(line: string, socket: Socket): Record<string, unknown> {
  try {
    return parseAnswer(line)
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Undefined where nobody listens: no socket, or one that a killed process left behind. */
function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true })
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      // Whoever reads or writes meets the failure there; without a listener it would end the program.
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // EAGAIN: its backlog is full of others who were as quick.
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'EAGAIN') resolve(undefined)
      else
        reject(
          new AditError(
            'tunnel-unreachable',
            `The tunnel process cannot be reached: ${error.code ?? error.message}.`,
            `Remove ${path} if it is not yours.`,
          ),
        )
    })
  })
}
