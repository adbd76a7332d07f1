import type { Duration, Instant } from '#shared/time/instant.ts'
import { after, milliseconds, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { Packet, Segment } from '#sim/internet/packet.ts'
import type { Actor, World } from '#sim/internet/world.ts'

/** Bytes of a piece; pieces on their way at once; how often a piece is sent before the pipe counts as dead. */
const pieceSize = 1_200
const windowSize = 16
const attempts = 8
const firstTimeout = milliseconds(1_000)
const longestTimeout = seconds(16)
const nothing = new Uint8Array(0)

/** Why a pipe has ended: `refused` and `closed` were said by the other end, `timeout` is silence. */
export type PipeEnd = 'refused' | 'timeout' | 'closed'

export interface PipePorts {
  readonly world: World
  transmit(segment: Segment, bytes: Uint8Array): void
  ended(pipe: Pipe): void
}

/**
 * What TCP is for, as far as a WebSocket or a proxy needs it: bytes in order over a network that loses, doubles and reorders. Pieces
 * are numbered, acknowledged together and sent again; there is no congestion control.
 */
export class Pipe implements Actor {
  due: Instant
  slot = -1
  onOpen: () => void = () => {}
  onData: (bytes: Uint8Array) => void = () => {}
  onEnd: (why: PipeEnd) => void = () => {}
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly #ports: PipePorts
  readonly #waiting: Uint8Array[] = []
  #state: 'opening' | 'open' | 'ended'
  /** Of the first piece in `#waiting`. */
  #sequence = 1
  #expected = 1
  #inFlight = 0
  #wasOpen = false
  #tries = 0

  constructor(ports: PipePorts, local: Endpoint, remote: Endpoint, side: 'caller' | 'called') {
    this.#ports = ports
    this.due = ports.world.now()
    this.local = local
    this.remote = remote
    this.#state = side === 'caller' ? 'opening' : 'open'
    if (side === 'caller') this.#again()
  }

  /** Whether the other end ever answered. */
  get wasOpen(): boolean {
    return this.#wasOpen
  }

  send(bytes: Uint8Array): void {
    if (this.#state === 'ended') return
    for (let at = 0; at < bytes.length; at += pieceSize) this.#waiting.push(bytes.slice(at, at + pieceSize))
    this.#push()
  }

  close(): void {
    if (this.#state === 'ended') return
    this.#say('closed', this.#sequence, nothing)
    this.#end()
  }

  receive({ segment, bytes }: Packet): void {
    if (segment === undefined || this.#state === 'ended') return
    if (segment.kind === 'refused' || segment.kind === 'closed') {
      this.#end()
      this.onEnd(segment.kind)
      return
    }
    if (segment.kind === 'open') {
      this.#say('opened', 0, nothing)
      return
    }
    if (this.#state === 'opening') {
      this.#state = 'open'
      this.#wasOpen = true
      this.#calm()
      this.onOpen()
    }
    this.#acknowledged(segment.expected)
    if (bytes.length > 0) this.#take(segment.sequence, bytes)
    this.#push()
  }

  act(): void {
    if (this.#state === 'ended') return
    if (this.#state === 'open' && this.#waiting.length === 0) return
    if (this.#tries >= attempts) {
      this.#end()
      this.onEnd('timeout')
      return
    }
    this.#inFlight = 0
    if (this.#state === 'opening') this.#again()
    else this.#push()
  }

  #take(sequence: number, bytes: Uint8Array): void {
    const isNext = sequence === this.#expected
    if (isNext) this.#expected++
    this.#say('data', this.#sequence, nothing)
    if (isNext) this.onData(bytes)
  }

  #acknowledged(expected: number): void {
    const count = expected - this.#sequence
    if (count <= 0 || count > this.#waiting.length) return
    this.#waiting.splice(0, count)
    this.#sequence = expected
    this.#inFlight = Math.max(this.#inFlight - count, 0)
    this.#calm()
  }

  #push(): void {
    if (this.#state !== 'open') return
    const from = this.#inFlight
    for (; this.#inFlight < Math.min(this.#waiting.length, windowSize); this.#inFlight++)
      this.#say('data', this.#sequence + this.#inFlight, this.#waiting[this.#inFlight]!)
    if (this.#inFlight > from && this.slot < 0) this.#arm()
  }

  #again(): void {
    this.#say('open', 0, nothing)
    this.#arm()
  }

  #calm(): void {
    this.#tries = 0
    this.#ports.world.cancel(this)
    if (this.#waiting.length > 0) this.#arm()
  }

  #arm(): void {
    this.#ports.world.schedule(this, after(this.#ports.world.now(), this.#timeout()))
    this.#tries++
  }

  #timeout(): Duration {
    return milliseconds(Math.min(firstTimeout * 2 ** Math.max(this.#tries - 1, 0), longestTimeout))
  }

  #say(kind: Segment['kind'], sequence: number, bytes: Uint8Array): void {
    this.#ports.transmit({ kind, sequence, expected: this.#expected }, bytes)
  }

  #end(): void {
    this.#state = 'ended'
    this.#ports.world.cancel(this)
    this.#ports.ended(this)
  }
}
