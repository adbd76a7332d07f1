import { chmod, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { AditError, type ErrorCode, exitStatuses, toAditError } from '#shared/errors.ts'
import { removeDurably } from '#shared/platform/files.ts'
import { withShortPath } from '#shared/platform/short-path.ts'

/**
 * STATE/agent.sock (0600): how the user's own programs speak to a running agent. One JSON object a line each way, answered by `id`:
 *
 *   {"id":1,"op":"status"}                                -> {"id":1,"ok":{…}}
 *   {"id":2,"op":"report","readings":[{"name",…}]}        -> {"id":2,"ok":{}}      after the outbox has committed
 *   anything that fails                                   -> {"id":3,"error":CODE,"message":…,"mend":…}
 */
export type AgentRequest =
  | { op: 'status' }
  | { op: 'report'; readings: unknown }
  /** `key`: Ed25519, base64. */
  | { op: 'fleet-pin'; key: unknown; replace: unknown }

/** Longest line, bytes. */
const LINE_LIMIT = 1024 * 1024

export class AgentSocketServer {
  readonly #server: Server
  readonly #answer: (request: AgentRequest) => Promise<unknown>
  readonly #sockets = new Set<Socket>()
  #path: string | undefined

  constructor(answer: (request: AgentRequest) => Promise<unknown>) {
    this.#answer = answer
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** The caller holds the folder's lock: whatever lies at `path` was left by a process that died. */
  async listen(path: string): Promise<void> {
    await removeDurably(path)
    const listen = (short: string): Promise<void> =>
      new Promise((resolve, reject) => {
        this.#server.once('error', (error) => reject(socketError(path, error)))
        this.#server.listen(short, () => resolve())
      })
    await withShortPath(path, listen)
    this.#path = path
    await chmod(path, 0o600)
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    if (this.#path !== undefined) await rm(this.#path, { force: true })
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    readLines(socket, (line) => void this.#serve(socket, line))
  }

  async #serve(socket: Socket, line: string): Promise<void> {
    let id: unknown
    try {
      const request = JSON.parse(line)
      id = request.id
      socket.write(`${JSON.stringify({ id, ok: await this.#answer(request) })}\n`)
    } catch (error) {
      const problem =
        error instanceof SyntaxError ? new AditError('usage', 'The request is no JSON.', 'Send one object a line.') : error
      if (!socket.destroyed) socket.write(`${JSON.stringify({ id, ...toAditError(problem).toJSON() })}\n`)
    }
  }
}

/** The other end. Throws AditError `tunnel-unreachable` where no agent runs on that state folder. */
export class AgentSocketClient {
  readonly #socket: Socket
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>()
  #nextId = 1

  private constructor(socket: Socket) {
    this.#socket = socket
    readLines(socket, (line) => this.#received(line))
    socket.once('close', () => {
      for (const { reject } of this.#pending.values()) reject(notRunning())
      this.#pending.clear()
    })
  }

  static connect(path: string): Promise<AgentSocketClient> {
    return withShortPath(path, (short) => AgentSocketClient.#open(short))
  }

  static #open(path: string): Promise<AgentSocketClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      socket.once('connect', () => {
        socket.on('error', () => socket.destroy())
        resolve(new AgentSocketClient(socket))
      })
      socket.once('error', (cause) => reject(notRunning(cause)))
    })
  }

  request(request: AgentRequest): Promise<unknown> {
    if (this.#socket.destroyed) return Promise.reject(notRunning())
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#socket.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #received(line: string): void {
    const { id, ok, error, message, mend } = JSON.parse(line)
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (error === undefined) {
      pending?.resolve(ok)
      return
    }
    const code: ErrorCode = Object.hasOwn(exitStatuses, error) ? error : 'internal'
    pending?.reject(new AditError(code, String(message), String(mend)))
  }
}

/** A running agent that does not answer its own socket is as good as none, ms. */
const ANSWER_PATIENCE_MS = 3_000

/** One question to the agent behind `path`. Rejects with AditError `tunnel-unreachable` where none runs, or none that answers. */
export async function askAgent(path: string, request: AgentRequest): Promise<unknown> {
  const client = await AgentSocketClient.connect(path)
  const timer = setTimeout(() => client.close(), ANSWER_PATIENCE_MS)
  try {
    return await client.request(request)
  } finally {
    clearTimeout(timer)
    client.close()
  }
}

function readLines(socket: Socket, onLine: (line: string) => void): void {
  let sinceLine = 0
  socket.on('data', (chunk: Buffer) => {
    sinceLine = chunk.includes(10) ? chunk.length - chunk.lastIndexOf(10) : sinceLine + chunk.length
    if (sinceLine > LINE_LIMIT) socket.destroy()
  })
  createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine)
}

const notRunning = (cause?: unknown): AditError =>
  new AditError('tunnel-unreachable', 'No agent runs on this state folder.', 'Start it: adit-agent run', { cause })

/** Paths of UNIX sockets end at 107 bytes (103 on macOS). */
const socketError = (path: string, cause: NodeJS.ErrnoException): AditError =>
  new AditError(
    'storage-failed',
    `The socket ${path} cannot be made (${cause.code ?? cause.message}).`,
    'Choose a state folder with a shorter path.',
    {
      cause,
    },
  )
