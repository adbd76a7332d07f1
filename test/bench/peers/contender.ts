import type { TestContext } from 'node:test'
import type { Bed, RelayBed } from './bed.ts'

/** One kind of tunnel, in a file of its own. What it starts, it ends by `t.after`: processes by their id, files too. */
export interface Contender<On extends Bed = Bed> {
  /** As in `PEERS=`. */
  readonly name: string
  /** A sentence on why it cannot take part here (a package, a program, a setting that lacks); undefined: it can. */
  lacks(): string | undefined
  /** Resolves as soon as the tunnel is set up at both ends; `isUp` then waits until it carries data. */
  start(bed: On, t: Pick<TestContext, 'after'>): Promise<Tunnel>
}

export type RelayContender = Contender<RelayBed>

export interface Tunnel {
  /** Literal addresses of the two ends inside the tunnel, of one family. */
  readonly innerA: string
  readonly innerB: string
  /** The interface that packets of a to `innerB` leave by, and that of b. Their counters must move with the traffic. */
  readonly deviceA: string
  readonly deviceB: string
  /** Process ids of the tunnel's programs, threads not counted. */
  readonly processes: { readonly a: readonly number[]; readonly hop: readonly number[]; readonly b: readonly number[] }
}
