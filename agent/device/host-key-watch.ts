import { isSsh, type Service } from '#agent/core/service.ts'
import { askHostKeys, type HostKeys } from '#agent/io/ssh-host-keys.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { hours, seconds } from '#shared/time/instant.ts'

export interface HostKeyWatchOptions {
  readonly suite: Suite
  readonly timers: Timers
  readonly log: Log
  readonly services: readonly Service[]
  /** All keys known, by service; called when they are known first, and when they changed. */
  onKeys(keys: HostKeys): void
}

/** sshd writes a line for each visit: once they are known, keys are asked for again only so often, after each reconnection, and after visits. */
const ASK_AGAIN_EVERY = hours(1)
/** A visit by an operator may have ended because the key had changed: then they are asked for at once, but no more often than this. */
const VISIT_REST = seconds(3)

/** Asks the SSH services of this device for their host keys (them, not /etc/ssh: a container's sshd has others) until they answer. */
export class HostKeyWatch {
  readonly #options: HostKeyWatchOptions
  readonly #services: readonly Service[]
  readonly #backoff: Backoff
  #keys: Record<string, readonly string[]> = {}
  #timer: Timer | undefined
  #rest: Timer | undefined
  #visited = false
  #asking = false
  #closed = false

  constructor(options: HostKeyWatchOptions) {
    this.#options = options
    this.#services = options.services.filter(isSsh)
    this.#backoff = new Backoff(
      { base: seconds(1), cap: seconds(30) },
      uniform((length) => options.suite.random(length)),
    )
  }

  get keys(): HostKeys {
    return this.#keys
  }

  /** Asks now. Harmless while it asks already. */
  async ask(): Promise<void> {
    if (this.#asking || this.#closed || this.#services.length === 0) return
    this.#asking = true
    this.#timer?.clear()
    const before = JSON.stringify(this.#keys)
    const missing = await this.#askAll()
    this.#asking = false
    if (this.#closed) return
    if (JSON.stringify(this.#keys) !== before) this.#options.onKeys(this.#keys)
    const delay = missing ? this.#backoff.next() : ASK_AGAIN_EVERY
    if (!missing) this.#backoff.reset()
    this.#timer = this.#options.timers.setTimer(delay, () => void this.ask())
  }

  /** A connection to `service` has ended. Many in a row make one question now and one after the rest. */
  visited(service: Service): void {
    if (this.#closed || !isSsh(service)) return
    if (this.#rest !== undefined) {
      this.#visited = true
      return
    }
    this.#rest = this.#options.timers.setTimer(VISIT_REST, () => {
      this.#rest = undefined
      if (!this.#visited) return
      this.#visited = false
      this.visited(service)
    })
    void this.ask()
  }

  close(): void {
    this.#closed = true
    this.#timer?.clear()
    this.#rest?.clear()
  }

  /** Whether a service did not answer. What is known of it stays: a restarting sshd has not lost its keys. */
  async #askAll(): Promise<boolean> {
    let missing = false
    for (const { name, target } of this.#services) {
      const keys = await askHostKeys(target, this.#options.suite)
      if (keys === undefined || keys.length === 0) missing = true
      else this.#keys = { ...this.#keys, [name]: keys }
    }
    return missing
  }
}
