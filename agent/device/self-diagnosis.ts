import type { Finding } from '#agent/doctor/finding.ts'
import type { SelfDiagnosis as Told } from '#agent/doctor/report.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Duration, milliseconds, minutes, seconds } from '#shared/time/instant.ts'

export interface SelfDiagnosisOptions {
  readonly timers: Timers
  readonly log: Log
  /** The whole examination: some tens of kilobytes on the network. */
  examine(): Promise<Told>
  /** What lies on this machine alone: no packet leaves it. */
  examineHere(): Promise<Told>
  /** Tells the broker; rejects where it is not reached. */
  tell(diagnosis: Told): Promise<void>
}

/** A tunnel that is gone for so long is worth an examination, and again ever more rarely. */
const EXAMINE_AFTER = seconds(20)
const FIRST_PAUSE = minutes(10)
const LONGEST_PAUSE = minutes(60)
/** What lies on this machine is looked at so often, and soon after the start. */
const LOOK_EVERY = minutes(15)
const FIRST_LOOK = seconds(30)
/** A tunnel that came back has found its way by then. */
const SETTLED_AFTER = seconds(30)

/** Codes of findings that a look at this machine alone confirms or takes back. */
const here = new Set(['service-down', 'disk-full', 'storage-degraded', 'outbox-shed', 'nat64'])

/**
 * The device's own doctor, as `adit why` hears of it from afar. It is told when its verdict changes, by the API, which may be reached where
 * the tunnel is not; a device that is well says nothing, so that idling costs no byte.
 */
export class SelfDiagnosis {
  readonly #options: SelfDiagnosisOptions
  #up = false
  #pause: Duration = FIRST_PAUSE
  #whole: Timer | undefined
  #look: Timer | undefined
  #seen: Told = { verdict: 'ok', findings: [] }
  /** What the broker has been told; a fresh start counts as well. */
  #told: readonly Finding[] = []
  #closed = false

  constructor(options: SelfDiagnosisOptions) {
    this.#options = options
  }

  start(): void {
    this.#lookAfter(FIRST_LOOK)
  }

  /** The tunnel carries data, or does no longer. */
  tunnel(up: boolean): void {
    this.#up = up
    this.#pause = FIRST_PAUSE
    this.#whole?.clear()
    this.#whole = undefined
    // What was found while it was down is to be taken back.
    const isUnwell = [...this.#told, ...this.#seen.findings].some(({ state }) => state !== 'ok')
    if (!up || isUnwell) this.#examineAfter(up ? SETTLED_AFTER : EXAMINE_AFTER)
  }

  close(): void {
    this.#closed = true
    this.#whole?.clear()
    this.#look?.clear()
  }

  #examineAfter(delay: Duration): void {
    if (!this.#closed) this.#whole = this.#options.timers.setTimer(delay, () => void this.#examine())
  }

  async #examine(): Promise<void> {
    await this.#attempt(async () => {
      this.#seen = await this.#options.examine()
    })
    if (this.#up || this.#closed) return
    this.#examineAfter(this.#pause)
    this.#pause = milliseconds(Math.min(2 * this.#pause, LONGEST_PAUSE))
  }

  #lookAfter(delay: Duration): void {
    if (this.#closed) return
    this.#look = this.#options.timers.setTimer(delay, async () => {
      await this.#attempt(async () => {
        const { findings } = await this.#options.examineHere()
        const lasting = this.#seen.findings.filter(({ code }) => !here.has(code))
        const all = [...lasting, ...findings.filter(({ code }) => here.has(code))]
        const worst = all.find(({ state }) => state === 'broken') ?? all.find(({ state }) => state === 'warn')
        this.#seen = { verdict: worst?.code ?? 'ok', findings: all }
      })
      this.#lookAfter(LOOK_EVERY)
    })
  }

  /** Looks, and tells the broker where the picture has changed. An end that is not reached is told at the next look. */
  async #attempt(look: () => Promise<void>): Promise<void> {
    try {
      await look()
      const seen = this.#seen
      if (this.#closed || codesOf(seen.findings) === codesOf(this.#told)) return
      await this.#options.tell(seen)
      this.#told = seen.findings
    } catch (error) {
      this.#options.log.debug({ code: toAditError(error).code }, 'the self-diagnosis was not told')
    }
  }
}

const codesOf = (findings: readonly Finding[]): string => findings.map(({ code, state }) => `${code} ${state}`).join()
