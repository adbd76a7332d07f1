import type { AuthorityFace } from '#broker/identity/authority.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { hours } from '#shared/time/instant.ts'

const lookEvery = hours(12)

/** Keeps the API's own certificate alive in a broker that runs for years: new connections get the new one, old ones stay. The root's list too. */
export class ServerCertificate {
  readonly #authority: Pick<AuthorityFace, 'tls' | 'refreshApiCertificate' | 'rotation'>
  readonly #timers: Timers
  readonly #log: Log
  readonly #use: (tls: { key: string; cert: string }) => void
  #timer: Timer
  #stopped = false

  constructor(
    authority: Pick<AuthorityFace, 'tls' | 'refreshApiCertificate' | 'rotation'>,
    timers: Timers,
    log: Log,
    use: (tls: { key: string; cert: string }) => void,
  ) {
    this.#authority = authority
    this.#timers = timers
    this.#log = log
    this.#use = use
    this.#timer = this.#again()
  }

  stop(): void {
    this.#stopped = true
    this.#timer.clear()
  }

  #again(): Timer {
    return this.#timers.setTimer(lookEvery, () => void this.#look())
  }

  async #look(): Promise<void> {
    try {
      if (await this.#authority.refreshApiCertificate()) {
        this.#use(this.#authority.tls)
        this.#log.info({}, "the API's certificate was renewed")
      }
    } catch (error) {
      this.#log.warn({ code: toAditError(error).code }, "the API's certificate could not be renewed")
    }
    await this.#authority.rotation.renewLists().catch((error: unknown) => {
      this.#log.warn({ code: toAditError(error).code }, "the root's list of revoked CAs could not be signed")
    })
    if (!this.#stopped) this.#timer = this.#again()
  }
}
