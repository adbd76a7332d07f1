import { after, type Instant, seconds } from '#shared/time/instant.ts'
import type { ChildSa } from './child-sa.ts'
import type { ChildSaKeys } from './ike-output.ts'
import type { IkeState } from './ike-state.ts'
import { espSpiText } from './spi.ts'

/** A Child SA that the peer owes a delete is deleted by us after so long. */
const REPLACED_TIME = seconds(60)

/** What the timers of a Child SA call. */
export interface ChildActions {
  rekeyChild(inboundSpi: number, now: Instant): void
  closeChild(inboundSpi: number, now: Instant, why: 'deleted' | 'expired'): void
  /** No Child SA is left that lasts. */
  childrenLost(now: Instant): void
}

const rekeyTimer = (child: ChildSa): string => `rekey child ${espSpiText(child.inboundSpi)}`
const expiryTimer = (child: ChildSa): string => `end of child ${espSpiText(child.inboundSpi)}`

/** The life of a Child SA from its keys to the word that the data path may forget them. */
export class ChildLifecycle {
  readonly #state: IkeState
  readonly #actions: ChildActions

  constructor(state: IkeState, actions: ChildActions) {
    this.#state = state
    this.#actions = actions
  }

  /** The data path receives on it from now on. `replaces`: the one that it follows. */
  install(child: ChildSa, keys: ChildSaKeys, replaces: ChildSa | undefined, now: Instant): void {
    const state = this.#state
    child.bornAt = now
    state.children.add(child)
    state.emit({ kind: 'child-up', keys, replaces: replaces?.inboundSpi })
    const lifetime = state.childPolicy?.lifetime
    if (lifetime === undefined) return
    const soft = after(now, state.softened(lifetime.softTime))
    state.timers.set(rekeyTimer(child), soft, (at) => this.#actions.rekeyChild(child.inboundSpi, at))
    state.timers.set(expiryTimer(child), after(now, lifetime.hardTime), (at) =>
      this.#actions.closeChild(child.inboundSpi, at, 'expired'),
    )
  }

  /** The data path sends with it from now on. */
  use(child: ChildSa): void {
    if (child.inUse) return
    child.inUse = true
    this.#state.emit({ kind: 'child-use', inboundSpi: child.inboundSpi })
  }

  /** The peer has made `successor` in its place, and is to delete it; we send with it until the peer shows that it knows the new one. */
  replaced(child: ChildSa, successor: ChildSa, now: Instant): void {
    child.standing = 'replaced'
    child.successor = successor
    this.#state.timers.cancel(rekeyTimer(child))
    this.#state.timers.set(expiryTimer(child), after(now, REPLACED_TIME), (at) =>
      this.#actions.closeChild(child.inboundSpi, at, 'expired'),
    )
  }

  /** Our delete of it is on its way: no timer of its own any more. */
  closing(child: ChildSa): void {
    child.standing = 'closing'
    this.#state.timers.cancel(rekeyTimer(child))
    this.#state.timers.cancel(expiryTimer(child))
  }

  /** It is gone at both ends, or as good as gone. */
  remove(child: ChildSa, why: 'rekeyed' | 'deleted' | 'expired', now: Instant): void {
    const state = this.#state
    if (!state.children.remove(child)) return
    state.timers.cancel(rekeyTimer(child))
    state.timers.cancel(expiryTimer(child))
    const { successor } = child
    if (successor !== undefined && state.children.has(successor)) this.use(successor)
    state.emit({ kind: 'child-down', inboundSpi: child.inboundSpi, why: successor === undefined ? why : 'rekeyed' })
    if (state.children.lasting.length === 0) this.#actions.childrenLost(now)
  }

  /** An authentic packet came on it: the peer sends with it, so it may be sent with. */
  heard(child: ChildSa): void {
    if (!child.inUse && child.lasts) this.use(child)
  }
}
