import { AditError } from '#shared/errors.ts'
import type { Duration } from '#shared/time/instant.ts'
import { milliseconds } from '#shared/time/instant.ts'
import { type ConsoleFrame, encodeFrame, FrameReader, payloadLimit } from './console-frame.ts'

export interface ConsoleLinkPorts {
  write(text: string): void
  readonly timers: { setTimer(delay: Duration, callback: () => void): { clear(): void } }
}

/** Messages are no longer, in bytes. */
const messageLimit = 64 * 1024
/** A frame is sent again after so long, and then each time half as long again. */
const firstWait = 400
const longestWait = 2_000
const triesLimit = 12

interface Sending {
  readonly frames: readonly ConsoleFrame[]
  at: number
  tries: number
  timer: { clear(): void } | undefined
  readonly done: () => void
  readonly failed: (error: AditError) => void
}

/**
 * Whole messages in order over a console that loses, spoils and adds whatever it likes: one frame at a time, sent again until the other end
 * has taken it. The station opens a session; a board takes each new one as a new beginning, so that either end may begin anew at any time.
 *
 *   station: hello ->           board: here I am (while it hears nothing)
 *            <- taken
 *            data ->
 *            <- taken …
 */
export class ConsoleLink {
  /** A whole message. */
  onMessage: (message: Uint8Array) => void = () => {}
  /** The station: the board tells that it is there. */
  onPresence: () => void = () => {}
  readonly #from: 'S' | 'B'
  readonly #ports: ConsoleLinkPorts
  readonly #reader = new FrameReader()
  #session: number | undefined
  #sending: Sending | undefined
  #nextSent = 0
  #nextTaken = 0
  #heard = 0
  #parts: Uint8Array[] = []

  constructor(from: 'station' | 'board', ports: ConsoleLinkPorts) {
    this.#from = from === 'station' ? 'S' : 'B'
    this.#ports = ports
  }

  /** Frames of the other end, as far as they were whole. */
  get heard(): number {
    return this.#heard
  }

  /** The one that both ends are in: the station's random number. */
  get session(): number | undefined {
    return this.#session
  }

  /** The station: begins anew with a session of that random number (32 bits). Rejects with `line-lost`. */
  hello(session: number): Promise<void> {
    this.close()
    this.#begin(session >>> 0)
    return this.#send([{ ...this.#frame('H'), payload: new Uint8Array(0) }])
  }

  /** The board: tells a station that may listen. */
  announce(): void {
    this.#ports.write(encodeFrame({ session: 0, from: this.#from, kind: 'N', seq: 0, more: false, payload: new Uint8Array(0) }))
  }

  /** Resolves when the other end has all of it; rejects with AditError `line-lost`. One message at a time. */
  send(message: Uint8Array): Promise<void> {
    if (message.length > messageLimit) throw new RangeError(`a message of ${message.length} bytes`)
    const count = Math.max(1, Math.ceil(message.length / payloadLimit))
    const frames = Array.from({ length: count }, (_, n) => ({
      ...this.#frame('D', (this.#nextSent + n) & 0xffff),
      more: n < count - 1,
      payload: message.subarray(n * payloadLimit, (n + 1) * payloadLimit),
    }))
    this.#nextSent = (this.#nextSent + count) & 0xffff
    return this.#send(frames)
  }

  receive(bytes: Uint8Array): void {
    for (const frame of this.#reader.read(bytes)) if (frame.from !== this.#from) this.#take(frame)
  }

  /** What is being sent fails; nothing more is sent. */
  close(): void {
    const sending = this.#sending
    this.#sending = undefined
    sending?.timer?.clear()
    sending?.failed(lost())
  }

  #take(frame: ConsoleFrame): void {
    this.#heard += 1
    if (frame.kind === 'N') {
      this.onPresence()
      return
    }
    if (frame.kind === 'H' && this.#from === 'B') {
      if (frame.session !== this.#session) {
        this.close()
        this.#begin(frame.session)
      }
      this.#acknowledge(frame)
      return
    }
    if (frame.session !== this.#session) return
    if (frame.kind === 'K') this.#taken(frame)
    else if (frame.kind === 'D') this.#data(frame)
  }

  #data(frame: ConsoleFrame): void {
    const isNext = frame.seq === this.#nextTaken
    // What was taken before is sent again where our word of it was lost; what is ahead, an honest end does not send.
    if (!isNext && ((this.#nextTaken - frame.seq) & 0xffff) > 0x7fff) return
    this.#acknowledge(frame)
    if (!isNext) return
    this.#nextTaken = (this.#nextTaken + 1) & 0xffff
    this.#parts.push(frame.payload)
    if (this.#parts.reduce((sum, { length }) => sum + length, 0) > messageLimit) this.#parts = []
    if (frame.more) return
    const message = Buffer.concat(this.#parts)
    this.#parts = []
    this.onMessage(new Uint8Array(message))
  }

  #taken({ seq }: ConsoleFrame): void {
    const sending = this.#sending
    if (sending === undefined || sending.frames[sending.at]!.seq !== seq) return
    sending.timer?.clear()
    sending.at += 1
    sending.tries = 0
    if (sending.at < sending.frames.length) {
      this.#transmit(sending)
      return
    }
    this.#sending = undefined
    sending.done()
  }

  #send(frames: ConsoleFrame[]): Promise<void> {
    if (this.#sending !== undefined) throw new TypeError('a message is under way')
    return new Promise((done, failed) => {
      this.#sending = { frames, at: 0, tries: 0, timer: undefined, done, failed }
      this.#transmit(this.#sending)
    })
  }

  #transmit(sending: Sending): void {
    if (sending.tries >= triesLimit) {
      this.close()
      return
    }
    const wait = Math.min(firstWait * 1.5 ** sending.tries, longestWait)
    sending.tries += 1
    sending.timer = this.#ports.timers.setTimer(milliseconds(wait), () => this.#transmit(sending))
    this.#ports.write(encodeFrame(sending.frames[sending.at]!))
  }

  #acknowledge({ session, seq }: ConsoleFrame): void {
    const frame = { session, from: this.#from, kind: 'K' as const, seq, more: false, payload: new Uint8Array(0) }
    this.#ports.write(encodeFrame(frame))
  }

  /** Data begins at 1: 0 is the hello's. */
  #begin(session: number): void {
    this.#session = session
    this.#nextSent = 1
    this.#nextTaken = 1
    this.#parts = []
  }

  #frame(kind: 'H' | 'D', seq = 0): Omit<ConsoleFrame, 'payload'> {
    return { session: this.#session ?? 0, from: this.#from, kind, seq, more: false }
  }
}

const lost = (): AditError =>
  new AditError(
    'line-lost',
    'The other end of the serial console does not answer any more.',
    'Look at the cable and the power of the board, then try again: the same unit goes on where it was.',
  )
