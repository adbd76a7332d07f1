/**
 * TAI64N (D. J. Bernstein): 8 bytes of seconds, big-endian, 2^62 + 10 at 1970-01-01T00:00:00Z, then 4 bytes of nanoseconds. The
 * field that keeps a WireGuard initiation from being replayed: a responder takes only greater ones.
 */
import { compareBytes } from '#shared/bytes/compare.ts'
import { type Duration, hours, type WallTime } from '#shared/time/instant.ts'

export const TAI64N_LENGTH = 12
const EPOCH = 0x4000_0000_0000_000an
const NANOSECONDS = 1_000_000_000n
/** While the wall clock is behind, this many steps of 1 ns are reserved at a time: handshakes between two writes to flash. */
const STEPS_AHEAD = 1n << 20n

export interface TimestampFloorPorts {
  wall(): WallTime
  /**
   * Makes sure, before it returns, that a later start begins from `floor` (12 bytes) at least. Called about once in `ahead` of use.
   * It must not throw: where nothing can be written, adit still has to connect, and D5's question to the API mends the rest.
   */
  reserve(floor: Uint8Array): void
}

/**
 * Timestamps that only grow, whatever the wall clock does (DESIGN D5): max(wall, floor), and at least 1 ns above the last one. What
 * was reserved counts as used after a restart, so that flash is written once in `ahead`, not once a handshake.
 */
export class TimestampFloor {
  readonly #ports: TimestampFloorPorts
  readonly #ahead: bigint
  /** Nanoseconds since 1970: the last one given out or raised to, and the last one reserved. */
  #last: bigint
  #reserved: bigint

  /** `floor`: what was last reserved, 12 bytes; undefined at the first start. */
  constructor(ports: TimestampFloorPorts, floor?: Uint8Array, ahead: Duration = hours(1)) {
    this.#ports = ports
    this.#ahead = BigInt(Math.round(ahead)) * 1_000_000n
    this.#last = floor === undefined ? 0n : nanosecondsOf(floor)
    this.#reserved = this.#last
  }

  /** The next timestamp, 12 bytes, greater than every one before, restarts included. */
  next(): Uint8Array {
    const wall = BigInt(Math.max(0, Math.floor(this.#ports.wall()))) * 1_000_000n
    const isWall = wall > this.#last
    this.#last = isWall ? wall : this.#last + 1n
    if (this.#last > this.#reserved) {
      // Ahead by an hour of a clock that runs; by a little where the clock is behind, or restarts would push the floor ever further.
      this.#reserved = this.#last + (isWall ? this.#ahead : STEPS_AHEAD)
      this.#ports.reserve(tai64n(this.#reserved))
    }
    return tai64n(this.#last)
  }

  /** An authenticated source names a timestamp that was taken from us: the next ones are above it. */
  raise(taken: Uint8Array): void {
    const floor = nanosecondsOf(taken)
    if (floor > this.#last) this.#last = floor
  }

  /** The last timestamp given out, or the floor it started from. */
  get last(): Uint8Array {
    return tai64n(this.#last)
  }
}

/** 12 bytes of nanoseconds since 1970. */
export function tai64n(nanoseconds: bigint): Uint8Array {
  const out = new Uint8Array(TAI64N_LENGTH)
  const view = new DataView(out.buffer)
  view.setBigUint64(0, EPOCH + nanoseconds / NANOSECONDS)
  view.setUint32(8, Number(nanoseconds % NANOSECONDS))
  return out
}

/** Nanoseconds since 1970; 0 for what lies before. */
export function nanosecondsOf(timestamp: Uint8Array): bigint {
  if (timestamp.length !== TAI64N_LENGTH) throw new RangeError(`a TAI64N has ${TAI64N_LENGTH} bytes, not ${timestamp.length}`)
  const view = new DataView(timestamp.buffer, timestamp.byteOffset)
  const seconds = view.getBigUint64(0) - EPOCH
  return seconds < 0n ? 0n : seconds * NANOSECONDS + BigInt(view.getUint32(8))
}

/** -1, 0 or 1. */
export const compareTimestamps = (a: Uint8Array, b: Uint8Array): -1 | 0 | 1 => compareBytes(a, b)
