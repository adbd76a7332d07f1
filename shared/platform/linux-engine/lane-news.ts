import { DropReason } from '#shared/drop-reason.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { HeldSession, Moved } from './held-session.ts'
import type { LaneBoard } from './lane-board.ts'
import type { FromLane, RawDatagram, UpPacket } from './lane-messages.ts'

/** What a busy session does is told so often; what cannot wait, at the end of the turn. Milliseconds. */
const EVERY = 100
/** A session that was silent for so long is told of at once when it stirs. Milliseconds. */
const SILENCE = 1_000
/** What goes up in one turn at most: the main thread's road is slower than the lane, and a flood must not bury it. */
const UP_LIMIT = 512

/** What the main thread is to be told, gathered over a turn or more. */
export class LaneNews {
  readonly #board: LaneBoard
  readonly #endpoint: (address: Uint8Array) => Endpoint
  readonly #post: (news: FromLane) => void
  readonly #stirred: HeldSession[] = []
  #news: FromLane['news'][number][] = []
  #raw: RawDatagram[] = []
  #packets: UpPacket[] = []
  #carried: RawDatagram[] = []
  #unread: number[] = []
  #urgent = false
  #toldAt = Number.NEGATIVE_INFINITY

  /** `endpoint`: what a socket address says. */
  constructor(board: LaneBoard, endpoint: (address: Uint8Array) => Endpoint, post: (news: FromLane) => void) {
    this.#board = board
    this.#endpoint = endpoint
    this.#post = post
  }

  /** The next `tell` may not wait. */
  hurry(): void {
    this.#urgent = true
  }

  /** A datagram of `session` was opened, or one was sent. */
  stir(session: HeldSession): void {
    if (session.stirred) return
    session.stirred = true
    this.#stirred.push(session)
  }

  /** A session has been heard or has spoken at `now`, after whatever was before. */
  note(session: HeldSession, isHeard: boolean, now: number): void {
    this.stir(session)
    if (isHeard) {
      // While the lane may not send to the peer, hearing him again may prove where he is.
      if (!session.known || !session.peer.sends || now - session.lastHeard > SILENCE) this.#urgent = true
      session.known = session.heardLast = true
      session.lastHeard = now
    } else {
      if (now - session.lastSent > SILENCE) this.#urgent = true
      session.heardLast = false
      session.lastSent = now
    }
  }

  raw(datagram: Uint8Array, from: Endpoint): void {
    if (this.#isFull(this.#raw.length)) return
    this.#raw.push({ datagram, from })
  }

  /** Out of the TUN. */
  ownPacket(packet: Uint8Array): void {
    if (!this.#isFull(this.#packets.length)) this.#packets.push({ packet, session: undefined })
  }

  /** Opened in `session`, out of a datagram from there. */
  packet(packet: Uint8Array, { suite, local }: HeldSession, from: Endpoint): void {
    if (this.#isFull(this.#packets.length)) return
    this.#packets.push({ packet, session: { suite, local, from } })
  }

  carried(datagram: Uint8Array, to: Endpoint): void {
    if (this.#isFull(this.#carried.length)) return
    this.#carried.push({ datagram, from: to })
  }

  /** What was counted for the session so far becomes news of its own: the last thing that happened is told last. */
  settle(session: HeldSession): void {
    const { suite, local, heard, sent } = session
    if (session.heardLast) this.#settle('sent', sent, session)
    if (heard.datagrams > 0) {
      const from = session.carriedFrom ?? this.#endpoint(session.from)
      this.#news.push({ kind: 'heard', suite, local, from, newest: session.heardNewest, ...counts(heard) })
      heard.clear()
      session.heardNewest = 0
    }
    if (!session.heardLast) this.#settle('sent', sent, session)
  }

  /** The key block of a session that was released. */
  unread(keys: number): void {
    this.#unread.push(keys)
    this.#urgent = true
  }

  /** It is no more: nothing is told of it. */
  forget(session: HeldSession): void {
    if (!session.stirred) return
    session.stirred = false
    const at = this.#stirred.indexOf(session)
    if (at >= 0) this.#stirred.splice(at, 1)
  }

  /** How long the lane may sleep before it has to tell something, ms; -1: for as long as it likes. */
  patience(now: number): number {
    if (this.#stirred.length === 0) return -1
    return Math.max(0, Math.ceil(this.#toldAt + EVERY - now))
  }

  /** At the end of a turn. */
  tell(now: number): void {
    const isDue = this.#urgent || (this.#stirred.length > 0 && now - this.#toldAt >= EVERY)
    if (!isDue && this.#raw.length === 0 && this.#packets.length === 0 && this.#carried.length === 0) return
    this.#post(this.#take())
    this.#toldAt = now
    this.#urgent = false
  }

  #take(): FromLane {
    for (const session of this.#stirred) {
      session.stirred = false
      this.settle(session)
    }
    this.#stirred.length = 0
    const taken: FromLane = {
      news: this.#news,
      raw: this.#raw,
      packets: this.#packets,
      carried: this.#carried,
      unread: this.#unread,
    }
    this.#news = []
    this.#raw = []
    this.#packets = []
    this.#carried = []
    this.#unread = []
    return taken
  }

  #settle(kind: 'sent', sent: Moved, { suite, local }: HeldSession): void {
    if (sent.datagrams === 0) return
    this.#news.push({ kind, suite, local, ...counts(sent) })
    sent.clear()
  }

  #isFull(length: number): boolean {
    if (length < UP_LIMIT) return false
    this.#board.count(DropReason.QueueFull)
    return true
  }
}

const counts = ({ datagrams, outerBytes, innerPackets, innerBytes, largest }: Moved) => ({
  datagrams,
  outerBytes,
  innerPackets,
  innerBytes,
  largest,
})
