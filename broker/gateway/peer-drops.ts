import type { Clock } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'

/** Why a packet of one peer, or to it, went no further, by the labels of shared/drop-reason.ts. */
export type PeerDropCode = 'inner-too-big' | 'inner-source-refused'

export interface PeerDrop {
  readonly code: PeerDropCode
  /** Packets since the peer's association was made. */
  readonly count: number
  /** Wall-clock ms. */
  readonly lastAt: number
}

/** Drops of which the data plane knows whose they are: those of endpoints, which nobody has proven to be anybody's, are counted together. */
export class PeerDrops {
  readonly #clock: Pick<Clock, 'wall'>
  readonly #counts = new WeakMap<Association, Map<PeerDropCode, { count: number; lastAt: number }>>()

  constructor(clock: Pick<Clock, 'wall'>) {
    this.#clock = clock
  }

  count(association: Association, code: PeerDropCode): void {
    const counts = this.#counts.get(association) ?? new Map()
    this.#counts.set(association, counts)
    const drop = counts.get(code)
    const lastAt = this.#clock.wall()
    if (drop === undefined) counts.set(code, { count: 1, lastAt })
    else Object.assign(drop, { count: drop.count + 1, lastAt })
  }

  of(association: Association): PeerDrop[] {
    return [...(this.#counts.get(association) ?? [])].map(([code, drop]) => ({ code, ...drop }))
  }
}
