import { closeSync, constants, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'
import { buildTime } from '#shared/platform/version.ts'
import { type Clock, hours } from '#shared/time/instant.ts'
import { TimeFloor } from '#shared/time/time-floor.ts'
import { TAI64N_LENGTH, TimestampFloor } from '#shared/tunnel/tai64n.ts'

/** What STATE/floor holds: neither may ever go back. */
interface Stored {
  /** TAI64N in hex, up to which timestamps may have been used. */
  readonly timestamp?: string | undefined
  /** Time floor, ms since 1970. */
  readonly time: number
}

/** The time floor is written when it rose by so much: flash wears. */
const WRITE_STEP = hours(1)

/** The two floors of DESIGN D5 with their file: TAI64N for handshakes, wall time for certificates and readings. */
export class Floors {
  readonly time: TimeFloor
  readonly #path: string
  readonly #log: Log
  readonly #timestamps: TimestampFloor
  #stored: Stored

  private constructor(path: string, clock: Clock, log: Log, stored: Stored) {
    this.#path = path
    this.#log = log
    this.#stored = stored
    this.time = new TimeFloor(clock, buildTime, stored.time)
    const floor = stored.timestamp === undefined ? undefined : fromHex(stored.timestamp)
    const reserve = (timestamp: Uint8Array): void => this.#write({ ...this.#stored, timestamp: toHex(timestamp) })
    // Where the clock stands in 1970, the time floor spares the broker's memory of this key a surprise.
    this.#timestamps = new TimestampFloor({ wall: () => this.time.now(), reserve }, floor)
  }

  /** A file that cannot be read counts as absent: the API knows the timestamp, and certificates the time. */
  static async open(path: string, clock: Clock, log: Log): Promise<Floors> {
    const stored = parse(await readIfPresent(path).catch(() => undefined))
    return new Floors(path, clock, log, stored ?? { time: 0 })
  }

  nextTimestamp(): Uint8Array {
    return this.#timestamps.next()
  }

  /** The broker has taken this one from us. */
  raiseTimestamp(taken: Uint8Array): void {
    this.#timestamps.raise(taken)
  }

  /** Authenticated evidence that it is at least `ms`. */
  raiseTime(ms: number): void {
    this.time.raise(ms)
    if (this.time.floor - this.#stored.time >= WRITE_STEP) this.#write({ ...this.#stored, time: this.time.floor })
  }

  /** Synchronous, as the timestamp must be safe before it is used; some 100 bytes, about once an hour of handshakes. */
  #write(stored: Stored): void {
    this.#stored = stored
    const temporary = `${this.#path}.tmp`
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
      const file = openSync(temporary, flags, 0o600)
      writeSync(file, `${JSON.stringify(stored)}\n`)
      fsyncSync(file)
      closeSync(file)
      renameSync(temporary, this.#path)
      const folder = openSync(dirname(this.#path), constants.O_RDONLY)
      fsyncSync(folder)
      closeSync(folder)
    } catch (error) {
      this.#log.warn({ path: this.#path, error: String(error) }, 'the time floor could not be written')
    }
  }
}

function parse(bytes: Uint8Array | undefined): Stored | undefined {
  try {
    const { timestamp, time } = JSON.parse(Buffer.from(bytes ?? []).toString('utf8'))
    if (typeof time !== 'number' || !(time >= 0)) return undefined
    const isTimestamp = typeof timestamp === 'string' && timestamp.length === 2 * TAI64N_LENGTH
    return { time, timestamp: isTimestamp ? timestamp : undefined }
  } catch {
    return undefined
  }
}
