import { isCpuSerial } from '#agent/io/board-serial.ts'
import type { UnitDesk } from '#agent/station/unit-desk.ts'
import { toBase64 } from '#shared/bytes/base64.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { ConsoleLink } from '#shared/enrolment/console-link.ts'
import { type ConsoleAsk, decodeWord, encodeWord } from '#shared/enrolment/console-words.ts'
import { heldHash } from '#shared/enrolment/held-certificate.ts'
import { escapeText } from '#shared/enrolment/name.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError, type ErrorCode, exitStatuses } from '#shared/errors.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Duration, seconds } from '#shared/time/instant.ts'
import { ConsoleLogin, type ConsoleUser } from './console-login.ts'
import { type LineTerms, termsDocument } from './line-terms.ts'
import { heldEvidence, type Way } from './way.ts'
import type { Wire } from './wire.ts'

export interface SerialWayParts {
  readonly suite: Suite
  readonly timers: Timers
  readonly terms: LineTerms
  readonly login?: ConsoleUser
  /** Typed at the board's shell; `adit-agent enrol --console` unless said otherwise. */
  readonly command?: string
}

/** While the board boots, until its console is there. */
const presencePatience = seconds(90)
/** Before the station types anything: a board that waits for it says so every second. */
const listenFirst = seconds(1.5)
/** Between two lines typed at a console that shows nothing known. */
const nudgeEvery = seconds(4)
/** For making keys, or writing to a slow card. */
const answerPatience = seconds(30)

/**
 * The unit at the other end of a serial cable. The board makes its keys and keeps them; over the wire go a request, certificates, and the word
 * that they are on its disk. A cable that is pulled at any moment costs another try of the same unit, which finds the same keys and the same
 * certificate.
 */
export class SerialWay implements Way {
  readonly kind = 'serial'
  readonly #open: () => Promise<Wire>
  readonly #parts: SerialWayParts
  /** The session in which the board has told its number, for its delivery: a program on the board that has been left has ended. */
  #told: Session | undefined

  constructor(open: () => Promise<Wire>, parts: SerialWayParts) {
    this.#open = open
    this.#parts = parts
  }

  async deliver(desk: UnitDesk, serial: string): Promise<string> {
    const { suite, terms } = this.#parts
    return this.#withBoard(async (board) => {
      const { request } = await board.who(desk.enrolmentKey, (told, said) => checkSame(serial, told, said))
      desk.step(serial, 'writing')
      const { chain, root } = await desk.certify(serial, request)
      const held = await board.take({ ask: 'take', chain, root, ...termsDocument(terms) })
      desk.step(serial, 'verifying')
      const expected = heldHash(chain, suite)
      if (held !== expected)
        throw new AditError(
          'serial-mismatch',
          `The board of ${serial} has another certificate.`,
          'Empty its state folder, then try again.',
        )
      return heldEvidence(expected)
    })
  }

  async serialOf(): Promise<string> {
    await this.close()
    const session = await this.#begin()
    try {
      const { serial } = await session.board.who(this.#parts.suite.x25519.generate().publicKey, () => {})
      if (serial === undefined) throw new AditError('not-found', 'The board tells no serial number.', 'Scan its label.')
      this.#told = session
      return serial
    } finally {
      if (this.#told !== session) await end(session)
    }
  }

  async close(): Promise<void> {
    const session = this.#told
    this.#told = undefined
    if (session) await end(session)
  }

  async #withBoard<T>(work: (board: Board) => Promise<T>): Promise<T> {
    if (this.#told?.board.lost) await this.close()
    const session = this.#told ?? (await this.#begin())
    this.#told = undefined
    try {
      return await work(session.board)
    } finally {
      await end(session)
    }
  }

  async #begin(): Promise<Session> {
    const wire = await this.#open()
    const session = { wire, board: new Board(wire, this.#parts) }
    try {
      await session.board.connect()
      return session
    } catch (error) {
      await end(session)
      throw error
    }
  }
}

interface Session {
  readonly wire: Wire
  readonly board: Board
}

async function end({ wire, board }: Session): Promise<void> {
  await board.leave()
  await wire.close()
}

/** One session with the program at the other end. */
class Board {
  readonly #wire: Wire
  readonly #parts: SerialWayParts
  readonly #link: ConsoleLink
  readonly #login: ConsoleLogin
  #present = false
  #lost = false
  #message: Uint8Array | undefined
  /** Wakes whoever waits for anything of this. */
  #stir: () => void = () => {}

  constructor(wire: Wire, parts: SerialWayParts) {
    this.#wire = wire
    this.#parts = parts
    this.#login = new ConsoleLogin(parts.command ?? 'adit-agent enrol --console', parts.login)
    this.#link = new ConsoleLink('station', { write: (text) => wire.write(text), timers: parts.timers })
    this.#link.onPresence = () => {
      this.#present = true
    }
    this.#link.onMessage = (message) => {
      this.#message = message
    }
    wire.onData((bytes) => {
      this.#login.see(bytes)
      this.#link.receive(bytes)
      this.#stir()
    })
    wire.onEnd(() => {
      this.#lost = true
      this.#link.close()
      this.#stir()
    })
  }

  get lost(): boolean {
    return this.#lost
  }

  /** Waits for the board's program, and starts it at a shell where it does not run by itself. */
  async connect(): Promise<void> {
    const late = this.#alarm(presencePatience)
    let pause = this.#alarm(listenFirst)
    try {
      for (let listening = true; !this.#present; await this.#stirred()) {
        if (this.#lost || late.rung) throw silent()
        if (pause.rung) {
          listening = false
          pause = this.#alarm(nudgeEvery)
          // A line end brings a prompt back, and does no harm to a program that starts.
          this.#wire.write(this.#login.answer() ?? (this.#login.started ? '' : '\r'))
        } else if (!listening) this.#wire.write(this.#login.answer() ?? '')
      }
    } finally {
      late.clear()
      pause.clear()
    }
    await this.#link.hello(Buffer.from(this.#parts.suite.random(4)).readUInt32BE())
  }

  /** `check` throws where it is not the board that was meant. */
  async who(
    enrolmentKey: Uint8Array,
    check: (serial: string | undefined, said: boolean) => void,
  ): Promise<{ serial: string | undefined; request: Uint8Array }> {
    const answer = await this.#ask({ ask: 'who', enrolmentKey: toBase64(enrolmentKey) })
    const serial = answer.serial === undefined ? undefined : checkSerial(String(answer.serial))
    check(serial, answer.said === true)
    return { serial, request: new Uint8Array(Buffer.from(String(answer.request), 'base64')) }
  }

  async take(ask: ConsoleAsk): Promise<string> {
    return String((await this.#ask(ask)).held)
  }

  /** The board's program ends by itself where this does not reach it. */
  async leave(): Promise<void> {
    if (!this.#lost && this.#present) await this.#link.send(encodeWord({ ask: 'end' })).catch(() => {})
    this.#link.close()
  }

  async #ask(ask: ConsoleAsk): Promise<Record<string, unknown>> {
    this.#message = undefined
    await this.#link.send(encodeWord(ask))
    const late = this.#alarm(answerPatience)
    try {
      for (; this.#message === undefined; await this.#stirred()) if (this.#lost || late.rung) throw silent()
    } finally {
      late.clear()
    }
    const word = decodeWord(this.#message)
    if (typeof word.error !== 'string') return word
    const code = (Object.hasOwn(exitStatuses, word.error) ? word.error : 'line-lost') as ErrorCode
    throw new AditError(code, `The board says: ${escapeText(String(word.message))}`, escapeText(String(word.mend)))
  }

  #stirred(): Promise<void> {
    return new Promise((resolve) => {
      this.#stir = resolve
    })
  }

  #alarm(span: Duration): { rung: boolean; clear(): void } {
    const timer = this.#parts.timers.setTimer(span, () => {
      alarm.rung = true
      this.#stir()
    })
    const alarm = { rung: false, clear: () => timer.clear() }
    return alarm
  }
}

/** A number that a person gave the board must be the one; one of its firmware need only be where both are of that kind. */
function checkSame(serial: string, told: string | undefined, said: boolean): void {
  if (told === undefined || told === serial) return
  if (!said && !(isCpuSerial(told) && isCpuSerial(serial))) return
  throw new AditError(
    'serial-mismatch',
    `The board at this cable is ${told}, and not ${serial}.`,
    'Plug the cable into the board that was scanned, or scan the one that it is in.',
  )
}

const silent = (): AditError =>
  new AditError(
    'line-lost',
    'No board answers at this serial console.',
    'Look at the cable (RX and TX crossed, ground), the speed and the power of the board; then try again: the same unit goes on where it was.',
  )
