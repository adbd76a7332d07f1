import type { Suite } from '#shared/crypto/suite.ts'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import { advance, announce } from '#shared/enrolment/ratchet.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Clock, type Instant, minutes, seconds } from '#shared/time/instant.ts'
import type { RatchetReply } from './broker-api.ts'
import type { Identity } from './identity.ts'
import { RatchetStore } from './ratchet-store.ts'

export interface RatchetKeeperOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly identity: Identity
  /** What this machine shows of itself; undefined while the fleet's salt is not known. */
  hints(): Promise<HardwareHints | undefined>
  /** Somebody else has our keys, and is the device: nothing may be opened with them. */
  onHeld(clone: number): void
  /** The folder holds another identity now, or the same one is not held apart any more: whoever runs us is to begin from it anew. */
  onReplaced(): void
}

/** How often a copy that is held apart asks whether a person has granted it an identity of its own. */
const HELD_ASKS = { base: seconds(5), cap: minutes(5) }
/** While an API that should know us does not answer. */
const FAILED_ASKS = { base: seconds(30), cap: minutes(30) }
/** A tunnel that is lost may have been closed because of a copy; one that is lost again and again is no reason to wear flash. */
const LOSSES_TOLD_EVERY = minutes(10)

/**
 * Advances the ratchet that is shared with the broker, and does what the broker answers. Every state is on disk before it is told, and a
 * contact that failed is made again with the same words.
 */
export class RatchetKeeper {
  readonly #options: RatchetKeeperOptions
  readonly #store: RatchetStore
  readonly #heldBackoff: Backoff
  readonly #failedBackoff: Backoff
  #busy: Promise<void> | undefined
  #again = false
  #timer: Timer | undefined
  #closed = false
  #isOld = false
  #lastContact: Instant | undefined
  #clone: number | undefined

  constructor(options: RatchetKeeperOptions) {
    const dice = uniform((length) => options.suite.random(length))
    this.#options = options
    this.#store = new RatchetStore(options.identity.folder.file('ratchet'))
    this.#heldBackoff = new Backoff(HELD_ASKS, dice)
    this.#failedBackoff = new Backoff(FAILED_ASKS, dice)
  }

  /** As which copy the broker holds us apart; undefined: it does not. */
  get clone(): number | undefined {
    return this.#clone
  }

  /** What the last run has left. */
  async open(): Promise<void> {
    this.#clone = (await this.#store.read(this.#random)).clone
  }

  /** Makes contact, once more where one is under way. Never rejects; resolves when nothing is left to ask. */
  contact(): Promise<void> {
    if (this.#busy) this.#again = true
    this.#busy ??= this.#contacts().finally(() => {
      this.#busy = undefined
    })
    return this.#busy
  }

  /** The broker is in reach: what has failed since the start may work now. */
  hint(): Promise<void> {
    return this.#lastContact === undefined ? this.contact() : Promise.resolve()
  }

  /** The tunnel is lost. */
  lost(): Promise<void> {
    const { clock } = this.#options
    const isRecent = this.#lastContact !== undefined && clock.now() - this.#lastContact < LOSSES_TOLD_EVERY
    return isRecent ? Promise.resolve() : this.contact()
  }

  close(): void {
    this.#closed = true
    this.#timer?.clear()
  }

  async #contacts(): Promise<void> {
    do {
      this.#again = false
      this.#timer?.clear()
      if (this.#closed || this.#isOld) return
      try {
        await this.#contactOnce()
        this.#failedBackoff.reset()
      } catch (error) {
        this.#failed(error)
      }
    } while (this.#again)
  }

  async #contactOnce(): Promise<void> {
    const { identity, hints } = this.#options
    const board = await hints()
    if (board === undefined) return
    const { state, clone } = await this.#store.read(this.#random)
    const announced = announce(state, this.#random)
    if (state.next === undefined) await this.#store.write({ state: announced, clone })
    const { step, present, next } = announced
    const reply = await identity.api().ratchet({
      step,
      present: base64(present),
      next: base64(next),
      hints: board,
      starts: this.#lastContact === undefined,
      ...(clone !== undefined && { clone }),
    })
    this.#lastContact = this.#options.clock.now()
    if (this.#closed) return
    if (reply.verdict === 'held') return this.#held(reply, announced)
    await this.#store.write({ state: advance(announced) })
    const wasHeld = this.#clone !== undefined
    this.#clone = undefined
    if (reply.timestamp) identity.floors.raiseTimestamp(reply.timestamp)
    // What was announced before a power cut says nothing of this start: who was copied with it would say the same.
    if (state.next !== undefined) this.#again = true
    if (reply.verdict === 'renew-keys') await this.#replaceKeys(reply.ticket)
    else if (wasHeld) this.#begunAnew()
  }

  #begunAnew(): void {
    this.#again = false
    this.close()
    this.#options.onReplaced()
  }

  async #replaceKeys(ticket: string): Promise<void> {
    const { identity, log } = this.#options
    log.warn({}, 'a copy of this device is about: its keys are being replaced')
    // Only a living certificate may change its keys.
    if (identity.floors.time.now() >= identity.leaf.notAfter) await identity.renew(ticket)
    await identity.replaceKeys(ticket)
    this.#begunAnew()
  }

  async #held({ clone, claim }: Extract<RatchetReply, { verdict: 'held' }>, state: ReturnType<typeof announce>): Promise<void> {
    const { identity, timers, log, onHeld } = this.#options
    if (this.#clone !== clone) {
      await this.#store.write({ state, clone })
      log.warn(
        { clone },
        `the broker takes this for a copy of ${identity.record.name}: adit-broker clones grant ${clone} --name NEW`,
      )
    }
    this.#clone = clone
    onHeld(clone)
    if (claim !== undefined) {
      await identity.becomeAnother(claim)
      return this.#begunAnew()
    }
    if (!this.#closed) this.#timer = timers.setTimer(this.#heldBackoff.next(), () => void this.contact())
  }

  #failed(error: unknown): void {
    const { code, message } = toAditError(error)
    // A broker of before does not know the route: it looks after nobody, and we are as we were.
    this.#isOld = code === 'not-found'
    this.#options.log.debug({ code, message }, 'no contact of the ratchet')
    if (!this.#closed && !this.#isOld)
      this.#timer = this.#options.timers.setTimer(this.#failedBackoff.next(), () => void this.contact())
  }

  readonly #random = (length: number): Uint8Array => this.#options.suite.random(length)
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
