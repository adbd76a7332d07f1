import { MAX_BATCH_READINGS } from '#shared/telemetry/reading.ts'
import type { Position } from './uplink-window.ts'

/** A batch, or a reading alone, is refused so often before it is suspected. */
const TRIES = 3

type State =
  | { readonly kind: 'sending' }
  /** The reading was refused alone; another one shall show whether it is the reading or the broker. */
  | { readonly kind: 'probing'; readonly suspect: Position; readonly behind: Position }
  /** The broker took the other one: the suspect goes once more. */
  | { readonly kind: 'last-chance'; readonly suspect: Position }

/**
 * Finds the reading that the broker never takes, so that it cannot stop all those behind it: after three refusals batches are halved,
 * down to one. A reading is condemned only where it was refused right after another was taken: a broker whose disk is full refuses
 * everything, and must cost nothing.
 *
 *     sending ──3 refusals alone──► probing ──taken──► last-chance ──refused──► condemned
 *        ▲                            │ refused             │ taken
 *        └────────────────────────────┴─────────────────────┘
 *
 * A probe that is refused may be poisoned itself: the next one is taken from behind it.
 */
export class BatchTrial {
  #state: State = { kind: 'sending' }
  #limit = MAX_BATCH_READINGS
  #front: Position = { boot: 0, seq: 0 }
  #tries = 0
  /** The last probe that was refused. */
  #lastProbe: Position | undefined

  /** Readings that the next batch may hold. */
  get limit(): number {
    return this.#state.kind === 'sending' ? this.#limit : 1
  }

  /** Then one batch at a time goes out, so that a refusal has one meaning. */
  get isHunting(): boolean {
    return this.#limit < MAX_BATCH_READINGS || this.#state.kind !== 'sending'
  }

  /** Where the next batch is a probe: it begins behind this reading. */
  get probeBehind(): Position | undefined {
    return this.#state.kind === 'probing' ? this.#state.behind : undefined
  }

  /** There is no reading to probe with. Returns whether to look again, nearer; otherwise one must come first. */
  probesEnded(): boolean {
    const state = this.#state
    if (state.kind !== 'probing' || state.behind === state.suspect) return false
    this.#lastProbe = undefined
    this.#state = { ...state, behind: state.suspect }
    return true
  }

  /** The broker cut the connection while this batch was the oldest on its way. Returns the reading that is condemned by it. */
  refused(first: Position, length: number): Position | undefined {
    const state = this.#state
    if (state.kind === 'last-chance') return this.#condemn(state.suspect)
    if (state.kind === 'probing') {
      this.#lastProbe = first
      this.#state = { kind: 'sending' }
      this.#tries = 0
      return undefined
    }
    if (first.boot !== this.#front.boot || first.seq !== this.#front.seq) this.#tries = 0
    this.#front = first
    this.#tries += 1
    if (length > 1 && (this.isHunting || this.#tries >= TRIES)) this.#halve(length)
    else if (length === 1 && this.#tries >= TRIES)
      this.#state = { kind: 'probing', suspect: first, behind: this.#lastProbe ?? first }
    return undefined
  }

  /** The batch cannot even be encoded: no broker is to blame. Returns the reading that is condemned by it. */
  unsendable(first: Position, length: number): Position | undefined {
    if (length === 1) return this.#condemn(first)
    this.#halve(length)
    return undefined
  }

  taken(): void {
    const state = this.#state
    this.#tries = 0
    if (state.kind === 'probing') this.#state = { kind: 'last-chance', suspect: state.suspect }
    else {
      this.#state = { kind: 'sending' }
      this.#lastProbe = undefined
      this.#limit = Math.min(MAX_BATCH_READINGS, this.#limit * 2)
    }
  }

  #halve(length: number): void {
    this.#limit = Math.ceil(length / 2)
    this.#tries = 0
  }

  #condemn(reading: Position): Position {
    this.#state = { kind: 'sending' }
    this.#tries = 0
    return reading
  }
}
