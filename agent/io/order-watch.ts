import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { hours, seconds } from '#shared/time/instant.ts'
import type { BrokerOrder } from './broker-api.ts'
import type { FleetKeeper } from './fleet-keeper.ts'
import type { Identity } from './identity.ts'

interface OrderWatchOptions {
  readonly suite: Suite
  readonly timers: Timers
  readonly log: Log
  readonly identity: Identity
  readonly fleet: Pick<FleetKeeper, 'learn'> & { readonly trust: Pick<FleetTrust, 'ledger'> }
  /** An order that is for us, under a key that counts here. Told once. */
  onOrder(order: { id: string; next?: string }): void
}

/**
 * Hears the order to forget the fleet: with the statements, while the tunnel is up; and else by asking the API, which tells it also to a
 * device that was revoked or has long expired. Whoever carries it, only the signature counts (DESIGN D6).
 */
export class OrderWatch {
  readonly #options: OrderWatchOptions
  readonly #backoff: Backoff
  #timer: Timer | undefined
  #isUp = false
  #closed = false

  constructor(options: OrderWatchOptions) {
    const { suite } = options
    this.#options = options
    // While all is well a tunnel comes up before the first question.
    this.#backoff = new Backoff(
      { base: seconds(10), cap: hours(6) },
      uniform((length) => suite.random(length)),
    )
  }

  /** Whom an order means: the key may be another one after a renewal. */
  get #identity(): Uint8Array {
    const { suite, identity } = this.#options
    return suite.hash('sha256', p256Spki(identity.keys.identity.publicKey))
  }

  start(): void {
    if (!this.#isUp) this.#arm()
  }

  /** While the tunnel is up the broker tells of an order by itself. */
  tunnel(isUp: boolean): void {
    if (isUp === this.#isUp) return
    this.#isUp = isUp
    this.#backoff.reset()
    if (isUp) this.#timer?.clear()
    else this.#arm()
  }

  /** Statements have come: is there an order among them? */
  look(): void {
    const found = this.#options.fleet.trust.ledger.wipeOrder(this.#identity)
    if (found === undefined || this.#closed) return
    // Its claim, which no statement has, is for the API to give.
    if (found.order.next === undefined) this.#hear({ id: found.order.id })
    else void this.#ask()
  }

  close(): void {
    this.#closed = true
    this.#timer?.clear()
  }

  async #ask(): Promise<void> {
    const { identity, fleet, log } = this.#options
    try {
      const { order, time } = await identity.api().order()
      identity.floors.raiseTime(time)
      if (order !== undefined) this.#judge(order, fleet)
    } catch (error) {
      const { code, message } = toAditError(error)
      if (code === 'statement-refused') log.warn({ code }, message)
      else log.debug({ code }, 'no order could be asked for')
    }
    if (!this.#isUp) this.#arm()
  }

  #arm(): void {
    this.#timer?.clear()
    if (!this.#closed) this.#timer = this.#options.timers.setTimer(this.#backoff.next(), () => void this.#ask())
  }

  #judge(order: BrokerOrder, fleet: OrderWatchOptions['fleet']): void {
    fleet.learn(order.statements)
    const found = fleet.trust.ledger.wipeOrder(this.#identity)
    if (found === undefined) return
    const { id, next } = found.order
    const isClaim = next !== undefined && order.next !== undefined && hashOf(this.#options.suite, order.next) === toHex(next)
    if (next === undefined) this.#hear({ id })
    else if (isClaim) this.#hear({ id, next: order.next as string })
    else this.#options.log.warn({ order: id }, 'the order names another claim than the broker gave along')
  }

  #hear(order: { id: string; next?: string }): void {
    this.close()
    this.#options.onOrder(order)
  }
}

const hashOf = (suite: Suite, text: string): string => toHex(suite.hash('sha256', Buffer.from(text)))
