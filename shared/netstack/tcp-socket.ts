import { Duplex } from 'node:stream'
import { KEEPALIVE_IDLE, type TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { type ConnectionOwner, TcpEvent } from '#shared/netstack/tcp/host.ts'
import { TcpState } from '#shared/netstack/tcp/state.ts'
import type { TcpError } from '#shared/netstack/tcp/tcp-error.ts'
import type { Clock } from '#shared/time/instant.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'

/** Bytes that either side of the stream buffers beyond the connection's own buffers. */
const HIGH_WATER_MARK = 65_536

/**
 * A TCP connection as Node's programs know one: a Duplex with 'connect', true backpressure both ways, and node:net's rules of ending. `end()` sends
 * FIN; `destroy()` lets go (what was accepted still goes out, unread or unaccepted bytes mean a reset); `destroy(error)` and `reset()` send RST.
 */
export class TcpSocket extends Duplex implements ConnectionOwner {
  readonly #connection: TcpConnection | undefined
  readonly #clock: Clock
  /** A write that has not found room whole, how far it got, and whom to tell. */
  #chunk: Uint8Array | undefined
  #offset = 0
  #accepted: ((error?: Error | null) => void) | undefined
  #wantsBytes = false
  #ended = false
  bytesRead = 0
  bytesWritten = 0

  /** `connection` is undefined where connecting failed at once: the socket is then destroyed with `failure`. */
  constructor(connection: TcpConnection | undefined, clock: Clock, allowHalfOpen: boolean, failure?: TcpError) {
    super({ allowHalfOpen, highWaterMark: HIGH_WATER_MARK })
    this.#connection = connection
    this.#clock = clock
    if (connection === undefined) this.destroy(failure)
    else connection.owner = this
  }

  get remoteAddress(): string {
    return this.#connection === undefined ? '' : formatAddress(this.#connection.remote)
  }

  get remotePort(): number {
    return this.#connection?.remotePort ?? 0
  }

  get localAddress(): string {
    return this.#connection?.local.text ?? ''
  }

  get localPort(): number {
    return this.#connection?.localPort ?? 0
  }

  get connecting(): boolean {
    const state = this.#connection?.state
    return state === TcpState.SynSent || state === TcpState.SynReceived
  }

  /** Off (default): Nagle's algorithm gathers small writes while one is unacknowledged. */
  setNoDelay(on = true): this {
    if (this.#connection !== undefined) {
      this.#connection.noDelay = on
      this.#connection.host.touch(this.#connection)
    }
    return this
  }

  /** Probes a peer that was silent for `idleMs`; after nine unanswered probes the socket fails with ETIMEDOUT. */
  setKeepAlive(on = false, idleMs: number = KEEPALIVE_IDLE): this {
    this.#connection?.setKeepAlive(on ? Math.max(1, idleMs) : 0, this.#clock.now())
    return this
  }

  /** Destroys the stream and resets the connection at once. */
  reset(): this {
    this.#connection?.abort(this.#clock.now())
    return this.destroy()
  }

  notify(events: number): void {
    if (this.destroyed) return
    if ((events & TcpEvent.Connected) !== 0) this.emit('connect')
    if ((events & TcpEvent.Readable) !== 0) this.#pump()
    if ((events & (TcpEvent.Writable | TcpEvent.Connected)) !== 0) this.#continue()
    if ((events & TcpEvent.Closed) === 0 || this.destroyed) return
    const error = this.#connection?.toError()
    if (error !== undefined) this.destroy(error)
    else this.#pump()
  }

  override _read(): void {
    this.#wantsBytes = true
    this.#pump()
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#chunk = chunk
    this.#offset = 0
    this.#accepted = callback
    this.#continue()
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#connection?.shutdown()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const connection = this.#connection
    const lost = this.#chunk !== undefined || this.writableLength > 0
    this.#chunk = undefined
    this.#accepted = undefined
    if (connection !== undefined) {
      if (error !== null || lost) connection.abort(this.#clock.now())
      connection.release(this.#clock.now())
    }
    callback(error)
  }

  /** Hands the reader what is there, as long as it wants more. */
  #pump(): void {
    const connection = this.#connection
    if (connection === undefined) return
    while (this.#wantsBytes && !this.destroyed) {
      const piece = connection.take()
      if (piece === undefined) break
      this.bytesRead += piece.length
      this.#wantsBytes = this.push(piece)
    }
    if (connection.ended && !this.#ended && !this.destroyed) {
      this.#ended = true
      this.push(null)
    }
  }

  /** Gives the connection as much of the waiting write as it takes; the callback is the writer's leave to go on. */
  #continue(): void {
    const connection = this.#connection
    const chunk = this.#chunk
    if (connection === undefined || chunk === undefined || this.connecting) return
    const count = connection.write(chunk, this.#offset)
    this.#offset += count
    this.bytesWritten += count
    if (this.#offset < chunk.length) return
    const accepted = this.#accepted
    this.#chunk = undefined
    this.#accepted = undefined
    accepted?.()
  }
}
