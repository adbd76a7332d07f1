import { after, type Instant } from '#shared/time/instant.ts'
import { RETIRED_TIME } from './esp-constants.ts'
import type { EspSession } from './esp-session.ts'

/**
 * What a Child SA is doing besides receiving: `installed` sends once both ends have it; `replaced` did, until its successor took over;
 * `retired` is deleted, and receives what is still under way.
 */
type Phase = 'installed' | 'sending' | 'replaced' | 'retired'

interface Slot<S> {
  readonly session: S
  /** The inbound SPI of the one that it follows. */
  readonly replaces: number | undefined
  phase: Phase
  /** When a retired one is forgotten. */
  forgetAt: Instant | undefined
}

/**
 * The Child SAs of one association, oldest first: usually one, two while one is renewed; more where a peer wants several with different
 * traffic selectors.
 *
 *   installed ── use, or heard ──> sending ── use of its successor ──> replaced ── retire ──> retired ── RETIRED_TIME ──> discarded
 */
export class EspSlots<S extends EspSession> {
  readonly #discard: (session: S) => void
  #slots: Slot<S>[] = []
  /** The youngest Child SA that the peer has spoken in. */
  #heard: S | undefined

  constructor(discard: (session: S) => void) {
    this.#discard = discard
  }

  get count(): number {
    return this.#slots.length
  }

  /** One waits for the word, or the peer's data, to send. */
  get isWaiting(): boolean {
    return this.#slots.some(({ phase }) => phase === 'installed')
  }

  /** All of them, retired ones included. */
  *sessions(): Iterable<S> {
    for (const { session } of this.#slots) yield session
  }

  get isSending(): boolean {
    return this.current !== undefined
  }

  /** The youngest one that sends. */
  get current(): S | undefined {
    for (let i = this.#slots.length - 1; i >= 0; i--) if (this.#slots[i]!.phase === 'sending') return this.#slots[i]!.session
    return undefined
  }

  /** The one that sends, where no other does: all that the peer is sent goes by it, or nowhere. */
  get sole(): S | undefined {
    const { current } = this
    for (const { phase, session } of this.#slots) if (phase === 'sending' && session !== current) return undefined
    return current
  }

  /** The youngest sending one that may carry the packet. */
  forPacket(inner: Uint8Array, length: number): S | undefined {
    for (let i = this.#slots.length - 1; i >= 0; i--) {
      const { phase, session } = this.#slots[i]!
      if (phase === 'sending' && session.gate.admitsOutbound(inner, length)) return session
    }
    return undefined
  }

  /** Whether it sends, beside others or alone. */
  sends(session: S): boolean {
    return this.#find(session.inboundSpi)?.phase === 'sending'
  }

  /** The one with that inbound SPI. */
  get(inboundSpi: number): S | undefined {
    return this.#find(inboundSpi)?.session
  }

  install(session: S, replaces: number | undefined): void {
    this.#slots.push({ session, replaces, phase: 'installed', forgetAt: undefined })
  }

  /** From now on it sends, in the place of the one that it follows, which receives until it is retired. True where that is news. */
  use(inboundSpi: number): boolean {
    const slot = this.#find(inboundSpi)
    if (slot?.phase !== 'installed') return false
    slot.phase = 'sending'
    const before = slot.replaces === undefined ? undefined : this.#find(slot.replaces)
    if (before?.phase === 'sending') before.phase = 'replaced'
    return true
  }

  /** Where some of those that send are preferred, the others stop: they belong to an IKE SA that will be closed. */
  prefer(isPreferred: (session: S) => boolean): void {
    const sending = this.#slots.filter(({ phase }) => phase === 'sending')
    if (!sending.some(({ session }) => isPreferred(session))) return
    for (const slot of sending) if (!isPreferred(slot.session)) slot.phase = 'replaced'
  }

  /**
   * Authentic data came on it: the peer has it, so it may send. Returns whether that is news.
   */
  heard(session: S): boolean {
    if (this.#heard !== session && this.#isYounger(session, this.#heard)) this.#heard = session
    const slot = this.#slots.at(-1)
    return slot?.session === session && slot.phase === 'installed' && this.use(session.inboundSpi)
  }

  /** Whether the peer has not spoken in a younger one: what comes on this one may say where he is. */
  isLatest(session: S): boolean {
    return this.#heard === session || this.#heard === undefined || !this.#isYounger(this.#heard, session)
  }

  /** It sends no more, and is forgotten after a while. Where nothing else sends, the one that it replaced does again. */
  retire(inboundSpi: number, now: Instant): void {
    const slot = this.#find(inboundSpi)
    if (slot === undefined) return
    slot.phase = 'retired'
    slot.forgetAt ??= after(now, RETIRED_TIME)
    if (this.isSending) return
    const before = this.#slots.findLast(({ phase }) => phase === 'replaced')
    if (before !== undefined) before.phase = 'sending'
  }

  /** Forgets it at once. */
  drop(inboundSpi: number): void {
    const at = this.#slots.findIndex(({ session }) => session.inboundSpi === inboundSpi)
    const [slot] = at < 0 ? [] : this.#slots.splice(at, 1)
    if (slot !== undefined) this.#forget(slot)
  }

  expire(now: Instant): void {
    const over = this.#slots.filter(({ forgetAt }) => forgetAt !== undefined && now >= forgetAt)
    for (const { session } of over) this.drop(session.inboundSpi)
  }

  /** When the first of the retired ones is forgotten. */
  get nextExpiry(): Instant | undefined {
    let next: Instant | undefined
    for (const { forgetAt } of this.#slots) if (forgetAt !== undefined && (next === undefined || forgetAt < next)) next = forgetAt
    return next
  }

  clear(): void {
    for (const slot of this.#slots) this.#forget(slot)
    this.#slots = []
  }

  #forget({ session }: Slot<S>): void {
    if (this.#heard === session) this.#heard = undefined
    this.#discard(session)
  }

  #find(inboundSpi: number): Slot<S> | undefined {
    for (const slot of this.#slots) if (slot.session.inboundSpi === inboundSpi) return slot
    return undefined
  }

  #isYounger(session: S, than: S | undefined): boolean {
    if (than === undefined) return true
    const order = (one: S): number => this.#slots.findIndex((slot) => slot.session === one)
    return order(session) > order(than)
  }
}
