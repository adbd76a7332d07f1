import { closeSync, constants, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'
import { buildTime } from '#shared/platform/version.ts'
import { type Clock, hours } from '#shared/time/instant.ts'
import { TimeFloor } from '#shared/time/time-floor.ts'
import { TAI64N_LENGTH, TimestampFloor } from '#shared/tunnel/tai64n.ts'
import { quarantine } from './quarantine.ts'

/** What STATE/floor holds: none of it may ever go back. */
interface Stored {
  /** TAI64N in hex, up to which timestamps may have been used. */
  readonly timestamp?: string | undefined
  /** Time floor, ms since 1970. */
  readonly time: number
  /** The highest boot number that readings bore: another copy of what outbox.db counts. */
  readonly boot?: number | undefined
}

/** One process owns the file, the holder of the folder's lock. Everyone else reads it, needs no timestamp, and writes nothing. */
export type FloorsRole = 'owner' | 'reader'

/** The time floor is written when it rose by so much: flash wears. */
const WRITE_STEP = hours(1)

/** The two floors of DESIGN D5 with their file: TAI64N for handshakes, wall time for certificates and readings. */
export class Floors {
  readonly time: TimeFloor
  readonly #path: string
  readonly #log: Log
  readonly #role: FloorsRole
  readonly #timestamps: TimestampFloor
  #stored: Stored

  private constructor(path: string, clock: Clock, log: Log, role: FloorsRole, stored: Stored) {
    this.#path = path
    this.#log = log
    this.#role = role
    this.#stored = stored
    this.time = new TimeFloor(clock, buildTime, stored.time)
    const floor = stored.timestamp === undefined ? undefined : fromHex(stored.timestamp)
    const reserve = (timestamp: Uint8Array): void => this.#write({ ...this.#stored, timestamp: toHex(timestamp) })
    // Where the clock stands in 1970, the time floor spares the broker's memory of this key a surprise.
    this.#timestamps = new TimestampFloor({ wall: () => this.time.now(), reserve }, floor)
  }

  /** A damaged file counts as absent, and its owner puts it aside: the API knows the timestamp, and certificates the time (F-03). */
  static async open(path: string, clock: Clock, log: Log, role: FloorsRole = 'owner'): Promise<Floors> {
    const bytes = await readIfPresent(path).catch(() => undefined)
    const stored = parse(bytes)
    if (bytes !== undefined && stored === undefined && role === 'owner') {
      const aside = await quarantine(path).catch(() => undefined)
      log.warn({ path, aside }, 'the floor of time and timestamps is damaged; the broker is asked for them')
    }
    return new Floors(path, clock, log, role, stored ?? { time: 0 })
  }

  /** The highest boot number known; 0 where none is. */
  get boot(): number {
    return this.#stored.boot ?? 0
  }

  raiseBoot(boot: number): void {
    if (boot > this.boot) this.#write({ ...this.#stored, boot })
  }

  nextTimestamp(): Uint8Array {
    if (this.#role === 'reader') throw new Error('a timestamp is taken by the holder of the state folder alone')
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

  /** Authenticated word that it is `ms` now: a floor, and what our clock is measured by. */
  tellTime(ms: number): void {
    this.time.tell(ms)
    this.raiseTime(ms)
  }

  /** Synchronous, as the timestamp must be safe before it is used; some 100 bytes, about once an hour of handshakes. */
  #write(stored: Stored): void {
    this.#stored = stored
    if (this.#role === 'reader') return
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
    const { timestamp, time, boot } = JSON.parse(Buffer.from(bytes ?? []).toString('utf8'))
    if (typeof time !== 'number' || !(time >= 0)) return undefined
    const isTimestamp = typeof timestamp === 'string' && timestamp.length === 2 * TAI64N_LENGTH
    const isBoot = Number.isSafeInteger(boot) && boot > 0
    return { time, timestamp: isTimestamp ? timestamp : undefined, boot: isBoot ? boot : undefined }
  } catch {
    return undefined
  }
}
