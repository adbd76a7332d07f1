import { type Association, type Endpoint, sameEndpoint } from './association.ts'
import type { DataLane, LaneSession } from './data-lane.ts'
import type { SharedNumber } from './shared-number.ts'

/** What one association has with the data lane: the sessions that it lends, and whether the lane may send by itself. */
export class LaneTie {
  readonly #lane: DataLane
  readonly #association: Association
  /** As the lane was told last. */
  #local: number | undefined
  #to: Endpoint | undefined

  constructor(lane: DataLane, association: Association) {
    this.#lane = lane
    this.#association = association
  }

  /** As `DataLane.install`. */
  install(session: Omit<LaneSession, 'association' | 'suite'>): SharedNumber | undefined {
    return this.#lane.install({ ...session, association: this.#association, suite: this.#association.suite })
  }

  release(local: number): void {
    if (this.#local === local) this.stop()
    this.#lane.release(local, this.#association.suite)
  }

  /** The lane may send there by that session. */
  send(local: number, to: Endpoint): void {
    if (this.#local === local && sameEndpoint(this.#to, to)) return
    this.#local = local
    this.#to = to
    this.#lane.route(this.#association, local, to)
  }

  /** The lane may not send by itself. */
  stop(): void {
    if (this.#local === undefined) return
    this.#local = undefined
    this.#to = undefined
    this.#lane.route(this.#association, undefined, undefined)
  }
}
