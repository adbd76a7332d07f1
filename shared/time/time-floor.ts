import { type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * A time that has passed for certain (DESIGN D5): the latest of build time, the last authentic time seen, the own certificate's
 * beginning, and times that the broker or its CA signed. Certificates are judged against it and never against a bare wall clock: a
 * board without a battery wakes in 1970, and NTP is a stranger. The floor only rises, and only by what was authenticated; so no clock,
 * however far off, can move it, and a clock that jumped twenty years ahead and came back has left no trace (F-05).
 */
export class TimeFloor {
  #floor: number
  #persisted: number

  /** `persisted`: what `toPersist` gave before; undefined at first. */
  constructor(buildTime: WallTime, persisted?: WallTime) {
    const kept = persisted !== undefined && isPlausible(persisted) ? persisted : 0
    this.#floor = Math.max(buildTime, kept)
    this.#persisted = kept
  }

  get value(): WallTime {
    return wallTime(this.#floor)
  }

  /**
   * Raises the floor to an authenticated time: signed by the broker or the CA, or the own certificate's beginning. Times that nobody
   * can mean are passed over. True where the floor rose.
   */
  learn(authentic: WallTime): boolean {
    if (!isPlausible(authentic) || authentic <= this.#floor) return false
    this.#floor = authentic
    return true
  }

  /** The best guess of now, for messages and time stamps: never below the floor, and unauthenticated above it. */
  estimate(wall: WallTime): WallTime {
    return wallTime(Math.max(this.#floor, wall))
  }

  /** Whether the wall clock is certainly wrong: it stands before the floor. */
  isBehind(wall: WallTime): boolean {
    return wall < this.#floor
  }

  /**
   * The value to write down, or undefined where less than `stepMs` was gained since the last: flash is spared, and a floor that is an
   * hour old is as good.
   */
  toPersist(stepMs = 3_600_000): WallTime | undefined {
    if (this.#floor - this.#persisted < stepMs) return undefined
    this.#persisted = this.#floor
    return this.value
  }
}

/** A safe integer before the year 9999: all that a certificate can say. */
const isPlausible = (time: number): boolean => Number.isSafeInteger(Math.floor(time)) && time > 0 && time < Date.UTC(9999, 11, 31)
