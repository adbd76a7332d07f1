import { chmod } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import { joinStreams } from '#agent/io/join-streams.ts'
import { watchClient } from '#agent/operator/io/client-watch.ts'
import { readFirstLine } from '#agent/operator/io/line-socket.ts'
import { encodeLine, parseRequest, type TunnelRequest } from '#agent/operator/tunnel-protocol.ts'
import { type AditError, toAditError } from '#shared/errors.ts'
import { removeDurably } from '#shared/platform/files.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import type { Duration } from '#shared/time/instant.ts'

/** What the tunnel process serves on its socket. */
export interface OperatorTunnel {
  /** A stream to the device's port, connected. Throws AditError. */
  open(device: string, port: number, path?: PathWish): Promise<{ stream: Duplex; device: object }>
  /** What the broker knows of the device; its pinned host keys are in `known_hosts` when this resolves. Throws AditError. */
  device(name: string, path?: PathWish): Promise<object>
  /** Why the device may be reached no more, where that has ended of late. */
  parting(name: string): AditError | undefined
  status(): Promise<object>
}

interface TunnelServerOptions {
  tunnel: OperatorTunnel
  timers: Timers
  /** How long the process stays after its last user. */
  idle: Duration
  /** Called once, when nobody has used the tunnel for `idle`, or when a user asked it to stop. */
  onLeave(): void
}

/** The listener behind which every command of one user shares one tunnel. */
export class TunnelServer {
  readonly #options: TunnelServerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #users = 0
  #idle: Timer | undefined
  #left = false

  constructor(options: TunnelServerOptions) {
    this.#options = options
    // Half-close is part of what is carried: `ssh host cat < file` ends its input long before the answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
  }

  /** `path` may be left over from a killed process: the caller holds the lock, so whatever lies there is dead. */
  async listen(path: string): Promise<void> {
    await removeDurably(path)
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, () => resolve())
    })
    await chmod(path, 0o600)
    this.#waitForUsers()
  }

  /** Takes no more users, and cuts those there are. */
  async close(): Promise<void> {
    this.#left = true
    this.#idle?.clear()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    this.#enter()
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#leave()
    })
    void this.#serve(socket)
  }

  async #serve(socket: Socket): Promise<void> {
    const line = await readFirstLine(socket)
    if (line === undefined) return void socket.destroy()
    try {
      await this.#answer(parseRequest(line), socket)
    } catch (error) {
      socket.end(encodeLine(toAditError(error).toJSON()))
      socket.resume()
    }
  }

  async #answer(request: TunnelRequest, socket: Socket): Promise<void> {
    const { tunnel } = this.#options
    switch (request.op) {
      case 'open': {
        const { stream, device } = await tunnel.open(request.device, request.port, request.path)
        if (socket.destroyed) return void stream.destroy()
        socket.write(encodeLine({ ok: true, device }))
        joinStreams(socket, stream)
        return watchClient(socket, stream, this.#options.timers)
      }
      case 'device':
        return this.#finish(socket, { ok: true, device: await tunnel.device(request.device, request.path) })
      case 'parting':
        return this.#finish(socket, { ok: true, refusal: tunnel.parting(request.device)?.toJSON() ?? null })
      case 'status':
        return this.#finish(socket, { ok: true, users: this.#users - 1, ...(await tunnel.status()) })
      case 'hold':
        socket.write(encodeLine({ ok: true }))
        socket.on('end', () => socket.end())
        return void socket.resume()
      case 'stop':
        this.#finish(socket, { ok: true })
        socket.once('close', () => this.#depart())
    }
  }

  #finish(socket: Socket, answer: object): void {
    socket.end(encodeLine(answer))
    socket.resume()
  }

  #enter(): void {
    this.#users++
    this.#idle?.clear()
    this.#idle = undefined
  }

  #leave(): void {
    this.#users--
    if (this.#users === 0) this.#waitForUsers()
  }

  #waitForUsers(): void {
    if (this.#left) return
    this.#idle?.clear()
    this.#idle = this.#options.timers.setTimer(this.#options.idle, () => this.#depart())
  }

  #depart(): void {
    if (this.#left) return
    this.#left = true
    this.#options.onLeave()
  }
}
