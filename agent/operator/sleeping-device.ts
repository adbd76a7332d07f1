import type { OperatorContext } from '#agent/operator/context.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { AditError } from '#shared/errors.ts'
import { span } from '#shared/terminal/age.ts'
import type { Instant } from '#shared/time/instant.ts'

/** Who was proven to be there so short a while ago stays awake for long enough to be reached, seconds. */
const awakeAfterProof = 20
/** How often it is looked whether it has polled, ms; the broker asks it for a proof as long as somebody looks. */
const lookMs = 5_000
/** A poll may come this much later than said, as a part: its jitter, and one that was lost. */
const latePart = 1.3

/** Waits for the next poll of a device that sleeps to save data (`on-demand`), and tells the person how long that may take. */
export class SleepingDevice {
  readonly #context: Pick<OperatorContext, 'clock' | 'note' | 'pause'>
  #since: Instant | undefined

  constructor(context: Pick<OperatorContext, 'clock' | 'note' | 'pause'>) {
    this.#context = context
  }

  /** Whether to look again: after a pause, while it sleeps. Throws `device-offline` where it has missed its poll. */
  async waits(device: Device): Promise<boolean> {
    const wake = device.data?.wakeSeconds ?? 0
    if (wake === 0 || (device.evidenceAgeSeconds ?? Number.POSITIVE_INFINITY) <= awakeAfterProof) return false
    const { clock, note, pause } = this.#context
    const now = clock.now()
    if (this.#since === undefined) {
      this.#since = now
      const heard = Math.min(device.evidenceAgeSeconds ?? wake, device.keepaliveAgeSeconds ?? wake)
      note(
        `${device.name} sleeps to save data, and looks for calls each ${span(wake)}: it wakes in ${span(Math.max(0, wake - heard))} at the latest.`,
      )
    }
    if (now - this.#since > wake * 1000 * latePart + 60_000)
      throw new AditError('device-offline', `${device.name} has missed its poll.`, `See what is known: adit why ${device.name}.`)
    await pause(lookMs)
    return true
  }
}
