import type { SettingStore } from '#broker/registry/settings.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'

const key = 'gateway.timestamp-floor'

/**
 * The broker's own TAI64N, growing over restarts too (DESIGN D5). What was reserved before is passed over and a new hour is reserved on disk
 * before the first is given out; later hours are written while the present one still has its wall time to run, so a clock
 * that steps back after a crash finds the floor above everything that was used.
 */
export class TimestampSource {
  readonly #floor: TimestampFloor

  private constructor(floor: TimestampFloor) {
    this.#floor = floor
  }

  static async open(settings: Pick<SettingStore, 'get' | 'set'>, clock: Clock, log: Log): Promise<TimestampSource> {
    const stored = await settings.get(key)
    let written: Promise<void> = Promise.resolve()
    const reserve = (floor: Uint8Array): void => {
      written = settings
        .set(key, toHex(floor))
        .catch((error: unknown) => log.error({ error }, 'the timestamp floor could not be written'))
    }
    const floor = new TimestampFloor({ wall: () => clock.wall(), reserve }, stored === undefined ? undefined : fromHex(stored))
    floor.next()
    await written
    return new TimestampSource(floor)
  }

  next(): Uint8Array {
    return this.#floor.next()
  }
}
