import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'

/** One port that accepts connections. */
export class TcpListener {
  readonly port: number
  /** Canonical text, or undefined for all of the stack's addresses. */
  readonly address: string | undefined
  readonly allowHalfOpen: boolean
  readonly #backlog: number
  readonly #accept: (connection: TcpConnection) => void
  readonly #closed: (listener: TcpListener) => void
  /** Half-open connections, the oldest first. */
  readonly #halfOpen = new Set<TcpConnection>()
  /** How many of them each source has. */
  readonly #bySource = new Map<string, number>()

  constructor(
    options: { port: number; address: string | undefined; backlog: number; allowHalfOpen: boolean },
    accept: (connection: TcpConnection) => void,
    closed: (listener: TcpListener) => void,
  ) {
    this.port = options.port
    this.address = options.address
    this.allowHalfOpen = options.allowHalfOpen
    this.#backlog = options.backlog
    this.#accept = accept
    this.#closed = closed
  }

  /** Half-open connections waiting here. */
  get pending(): number {
    return this.#halfOpen.size
  }

  /**
   * Whether a SYN from `source` finds room. Inner sources are authenticated by the tunnel, so a share for each of them keeps one flooder from
   * locking out the rest; where the whole is full none the less, the oldest gives way (returned in `evict`).
   */
  room(source: Uint8Array): { admitted: boolean; evict: TcpConnection | undefined } {
    const share = Math.max(1, this.#backlog >> 2)
    if ((this.#bySource.get(keyOf(source)) ?? 0) >= share) return { admitted: false, evict: undefined }
    let evict: TcpConnection | undefined
    if (this.#halfOpen.size >= this.#backlog) for (evict of this.#halfOpen) break
    return { admitted: true, evict }
  }

  add(connection: TcpConnection): void {
    const key = keyOf(connection.remote)
    this.#halfOpen.add(connection)
    this.#bySource.set(key, (this.#bySource.get(key) ?? 0) + 1)
  }

  /** The handshake of `connection` ended, one way or the other. */
  remove(connection: TcpConnection): void {
    if (!this.#halfOpen.delete(connection)) return
    const key = keyOf(connection.remote)
    const rest = (this.#bySource.get(key) ?? 1) - 1
    if (rest === 0) this.#bySource.delete(key)
    else this.#bySource.set(key, rest)
  }

  accept(connection: TcpConnection): void {
    this.#accept(connection)
  }

  /** Accepts no more, and forgets half-open connections; established ones stay. */
  close(): void {
    this.#closed(this)
  }

  *halfOpen(): Iterable<TcpConnection> {
    yield* [...this.#halfOpen]
  }
}

const keyOf = (address: Uint8Array): string => String.fromCharCode(...address)
