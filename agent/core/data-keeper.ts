import { affordableInterval, type DataMode, type Family, intervalEnough, monthlyOctets } from '#shared/nat/data-budget.ts'
import { type Duration, minutes } from '#shared/time/instant.ts'
import type { AgentCore } from './agent-core.ts'

/** What somebody wants of the tunnel's data: a person at the device in its configuration file, or the administrator in the registry. */
export interface DataWishes {
  readonly mode?: DataMode | undefined
  /** 10^6 octets at the interface in 30 days, for an idle tunnel. */
  readonly monthlyMegabytes?: number | undefined
  /** Between two polls on demand. */
  readonly poll?: Duration | undefined
  /** Where network and budget cannot both be had: stay reachable over budget, or sleep within it. */
  readonly exceeded?: 'stay' | 'on-demand' | undefined
}

export interface DataStatus {
  readonly mode: DataMode
  /** It sleeps since the budget could not be kept otherwise. */
  readonly sleepsForBudget: boolean
  readonly poll: Duration
  readonly monthlyMegabytes: number | undefined
  /** What an idle month costs at the present interval, 10^6 octets; undefined on demand. */
  readonly projectedMegabytes: number | undefined
  /** Whether that is more than the budget. */
  readonly isExceeded: boolean
}

const POLL = minutes(15)

type Keeper = Pick<AgentCore, 'setDataMode' | 'keepaliveInterval'>

/**
 * Keeps the tunnel's data within what was wished (DESIGN D7). The device's own file has the last word in each point, then the broker.
 * Where a network forgets too soon for the budget, it says so, and sleeps only if it was told that it may.
 */
export class DataKeeper {
  readonly #core: Keeper
  readonly #own: DataWishes
  readonly #onExceeded: (status: DataStatus) => void
  #broker: DataWishes = {}
  #family: Family = 'v4'
  #isExceeded = false

  constructor(core: Keeper, own: DataWishes, onExceeded: (status: DataStatus) => void) {
    this.#core = core
    this.#own = own
    this.#onExceeded = onExceeded
  }

  get status(): DataStatus {
    const { mode, monthlyMegabytes, poll, exceeded } = this.#wishes
    const sleepsForBudget = this.#isExceeded && exceeded === 'on-demand' && mode !== 'on-demand'
    const isAwake = mode !== 'on-demand' && !sleepsForBudget
    return {
      mode,
      sleepsForBudget,
      poll,
      monthlyMegabytes,
      projectedMegabytes: isAwake ? monthlyOctets(this.#core.keepaliveInterval, this.#family) / 1e6 : undefined,
      isExceeded: this.#isExceeded,
    }
  }

  /** The broker's wishes; true where that changes what is kept. */
  configured(broker: DataWishes): boolean {
    const before = JSON.stringify(this.#wishes)
    this.#broker = broker
    const isChanged = JSON.stringify(this.#wishes) !== before
    if (isChanged) this.#isExceeded = false
    this.#apply()
    return isChanged
  }

  /** The longest keepalive interval that is of use; undefined: the longer the better. */
  enough(family: Family): Duration | undefined {
    const { mode, monthlyMegabytes } = this.#wishes
    return intervalEnough(mode, monthlyMegabytes, family)
  }

  /** The network bears this interval and no longer one. */
  learned(interval: Duration, family: Family): void {
    this.#family = family
    const { mode, monthlyMegabytes } = this.#wishes
    const needed = monthlyMegabytes === undefined ? 0 : affordableInterval(monthlyMegabytes, family)
    // A hundredth is rounding.
    const isExceeded = mode !== 'on-demand' && interval < needed * 0.99
    const isNews = isExceeded && !this.#isExceeded
    this.#isExceeded = isExceeded
    this.#apply()
    if (isNews) this.#onExceeded(this.status)
  }

  get #wishes(): { mode: DataMode; monthlyMegabytes: number | undefined; poll: Duration; exceeded: 'stay' | 'on-demand' } {
    const [own, broker] = [this.#own, this.#broker]
    return {
      mode: own.mode ?? broker.mode ?? 'normal',
      monthlyMegabytes: own.monthlyMegabytes ?? broker.monthlyMegabytes,
      poll: own.poll ?? broker.poll ?? POLL,
      exceeded: own.exceeded ?? broker.exceeded ?? 'stay',
    }
  }

  #apply(): void {
    const { mode, poll, exceeded } = this.#wishes
    this.#core.setDataMode(this.#isExceeded && exceeded === 'on-demand' ? 'on-demand' : mode, poll)
  }
}
