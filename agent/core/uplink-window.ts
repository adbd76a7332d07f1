import { batchLength, type OutboxRow } from '#shared/telemetry/outbox.ts'

/** Batches on the way at once: enough to hide a slow round trip, few enough that a lost connection repeats little. */
const WINDOW = 4

export interface Position {
  readonly boot: number
  readonly seq: number
}

interface InFlight {
  readonly id: number
  readonly first: Position
  readonly last: Position
  readonly length: number
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

  /** The oldest batch that the broker has not acknowledged: of several, it is the one that it met first. */
  get front(): { readonly first: Position; readonly length: number } | undefined {
    return this.#flying.find(({ acknowledged }) => !acknowledged)
  }

  get hasRoom(): boolean {
    return this.#flying.length < WINDOW
  }

  /** The next batch out of `rows`, which are the outbox's rows behind `cursor`; undefined where there is none or no room. */
  take(rows: readonly OutboxRow[]): { id: number; rows: readonly OutboxRow[] } | undefined {
    const batch = rows.slice(0, batchLength(rows))
    const [first, last] = [batch[0], batch.at(-1)]
    if (first === undefined || last === undefined || !this.hasRoom) return undefined
    const id = this.#nextId++
    this.#cursor = positionOf(last)
    this.#flying.push({ id, first: positionOf(first), last: this.#cursor, length: batch.length, acknowledged: false })
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

  /** Goes on behind `position`, which will never be sent again. Nothing may be on its way. */
  skip(position: Position): void {
    this.#done = position
    this.rewind()
  }

  /** The connection is gone: begin behind what is known to be done. */
  rewind(): void {
    this.#flying = []
    this.#cursor = this.#done
  }
}

export const positionOf = ({ boot, seq }: Position): Position => ({ boot, seq })
