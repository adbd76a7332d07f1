import { batchLength, type OutboxRow } from '#shared/telemetry/outbox.ts'

/** Batches on the way at once: enough to hide a slow round trip, few enough that a lost connection repeats little. */
const WINDOW = 4

export interface Position {
  readonly boot: number
  readonly seq: number
}

interface InFlight {
  readonly id: number
  readonly last: Position
  acknowledged: boolean
}

/**
 * Which readings are on their way up. Batches go out in order and may be acknowledged in any; what may be deleted is the front of
 * them. After a lost connection everything that is not acknowledged goes again, and the broker removes what it had already.
 */
export class UplinkWindow {
  #flying: InFlight[] = []
  /** Behind the last row sent in this connection. */
  #cursor: Position = { boot: 0, seq: 0 }
  /** Behind the last row that the broker has: never sent again, even if its deletion failed. */
  #done: Position = { boot: 0, seq: 0 }
  #nextId = 1

  get cursor(): Position {
    return this.#cursor
  }

  get done(): Position {
    return this.#done
  }

  get inFlight(): number {
    return this.#flying.length
  }

  get hasRoom(): boolean {
    return this.#flying.length < WINDOW
  }

  /** The next batch out of `rows`, which are the outbox's rows behind `cursor`; undefined where there is none or no room. */
  take(rows: readonly OutboxRow[]): { id: number; rows: readonly OutboxRow[] } | undefined {
    const batch = rows.slice(0, batchLength(rows))
    const last = batch.at(-1)
    if (last === undefined || !this.hasRoom) return undefined
    const id = this.#nextId++
    this.#cursor = { boot: last.boot, seq: last.seq }
    this.#flying.push({ id, last: this.#cursor, acknowledged: false })
    return { id, rows: batch }
  }

  /** The broker has batch `id` on disk. Returns the position up to which the outbox may forget, where it moved. */
  acknowledge(id: number): Position | undefined {
    const batch = this.#flying.find((flight) => flight.id === id)
    if (batch === undefined) return undefined
    batch.acknowledged = true
    let moved: Position | undefined
    while (this.#flying[0]?.acknowledged) moved = this.#flying.shift()!.last
    if (moved !== undefined) this.#done = moved
    return moved
  }

  /** The connection is gone: begin behind what is known to be done. */
  rewind(): void {
    this.#flying = []
    this.#cursor = this.#done
  }
}
