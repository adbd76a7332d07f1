import { ConfigNews } from '#broker/gateway/config-news.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'

interface AuthorityNewsParts {
  readonly timers: Timers
  readonly log: Log
  /** Numbers of the devices that do not have what the fleet's authorities are now; whether that one is of them, where it is given. */
  behind(id?: number): Promise<ReadonlySet<number>>
  /** Devices to which something can be said at this moment. */
  connected(): Iterable<number>
  /** Says that its configuration has changed. */
  tell(id: number): void
}

/**
 * Tells devices that the fleet's authorities have changed: not once, but whenever one comes that has not followed yet. What is said to a device
 * is lost with its connection, and what was still to be said with a broker that is killed.
 */
export class AuthorityNews {
  readonly #parts: AuthorityNewsParts
  readonly #news: ConfigNews<number>
  #behind = new Set<number>()
  #stopped = false

  constructor(parts: AuthorityNewsParts) {
    this.#parts = parts
    this.#news = new ConfigNews(parts.timers, (id) => void this.#tell(id))
  }

  /** The broker has started, or the authorities have changed: those who are here are told. */
  async review(): Promise<void> {
    const behind = await this.#ask()
    if (behind === undefined || this.#stopped) return
    this.#behind = new Set(behind)
    this.#news.announce([...this.#parts.connected()].filter((id) => this.#behind.has(id)))
  }

  /** A device has come, or come again. */
  came(id: number): void {
    if (this.#behind.has(id)) this.#news.announce([id])
  }

  stop(): void {
    this.#stopped = true
    this.#news.stop()
  }

  async #tell(id: number): Promise<void> {
    const behind = await this.#ask(id)
    if (behind === undefined || this.#stopped) return
    if (behind.has(id)) this.#parts.tell(id)
    else this.#behind.delete(id)
  }

  async #ask(id?: number): Promise<ReadonlySet<number> | undefined> {
    try {
      return await this.#parts.behind(id)
    } catch (error) {
      this.#parts.log.error({ error }, 'it cannot be read which devices are to follow the authorities')
      return undefined
    }
  }
}
