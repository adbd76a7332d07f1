import type { Identity } from '#agent/io/identity.ts'
import type { RatchetKeeper } from '#agent/io/ratchet-keeper.ts'
import type { Renewal } from '#agent/io/renewal.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { milliseconds } from '#shared/time/instant.ts'

interface FirstWordParts {
  readonly timers: Timers
  readonly log: Log
  readonly identity: Pick<Identity, 'learnTime'>
  readonly ratchet: Pick<RatchetKeeper, 'contact'>
  readonly renewal: Pick<Renewal, 'hint'>
}

/** How long the tunnel waits for it: a blocked API must not cost more. */
const PATIENCE = milliseconds(1_500)

/** What a starting device asks its broker over HTTPS, beside the tunnel: what time it is, and whether it is the only one of itself. */
export class FirstWord {
  readonly #parts: FirstWordParts
  #hasTime = false

  constructor(parts: FirstWordParts) {
    this.#parts = parts
  }

  /** Before anything is opened; not waited for longer than a network takes that answers at all. */
  async ask(): Promise<void> {
    const { timers, ratchet } = this.#parts
    const word = this.#askTime().then(() => ratchet.contact())
    await within(timers, PATIENCE, word, () => {})
  }

  /** The broker is reached: what it did not say before it may say now. */
  again(): void {
    if (!this.#hasTime) void this.#askTime()
  }

  async #askTime(): Promise<void> {
    const { identity, log, renewal } = this.#parts
    try {
      await identity.learnTime()
      this.#hasTime = true
      // What it says of our certificate is to be acted upon now.
      await renewal.hint()
    } catch (error) {
      log.debug({ code: toAditError(error).code }, 'nobody says what time it is')
    }
  }
}
