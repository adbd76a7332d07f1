import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { LineConsole } from '#agent/io/line-console.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import type { Wire } from '#agent/station/ways/wire.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { backgroundTimers, systemTimers, type Timers } from '#shared/platform/timers.ts'
import { milliseconds, minutes } from '#shared/time/instant.ts'

/** Some part of the time: what boards and people need is not what a test needs. */
const quicker = (timers: Timers, times: number): Timers => ({
  setTimer: (delay, callback) => timers.setTimer(milliseconds(delay / times), callback),
})

export const consoleTimers = quicker(systemTimers, 20)
/** For boards, which outlive their test. */
const boardTimers = quicker(backgroundTimers, 20)
/** Of both ends of many cables at once, on a machine that has other work. */
export const busyTimers = quicker(backgroundTimers, 5)

export interface BoardWish {
  readonly timers?: Timers
  readonly serial?: string
  readonly said?: boolean
  /** What a getty asks before there is a shell; undefined: the board's program runs by itself. */
  readonly shell?: { readonly user?: string; readonly password?: string }
  /** What becomes of each piece of text on the wire. */
  spoil?(text: string, n: number): string
}

/** A board at a serial console, and the cable to it, which may be pulled. */
export class ConsoleBoard {
  /** Text to the station after which the cable is pulled, in pieces. */
  cutAfter = Number.POSITIVE_INFINITY
  readonly folder: StateFolder
  readonly #wish: BoardWish
  #program: LineConsole | undefined
  #typed = ''
  #stage: 'login' | 'password' | 'shell' = 'login'
  #pieces = 0
  #off = false
  #wire: { data: (bytes: Uint8Array) => void; end: () => void } | undefined

  /** Power is given to a board whose disk is that folder. */
  constructor(folder: StateFolder, wish: BoardWish = {}) {
    this.folder = folder
    this.#wish = wish
    if (wish.shell === undefined) this.#start()
    else this.#stage = wish.shell.user === undefined ? 'shell' : 'login'
  }

  static async make(t: TestContext, wish: BoardWish = {}): Promise<ConsoleBoard> {
    const path = await mkdtemp(join(tmpdir(), 'adit-console-'))
    t.after(() => rm(path, { recursive: true, force: true }))
    return new ConsoleBoard(await StateFolder.open(path), wish)
  }

  plug(): Wire {
    this.#pieces = 0
    let [data, end]: [(bytes: Uint8Array) => void, () => void] = [() => {}, () => {}]
    this.#wire = { data: (bytes) => data(bytes), end: () => end() }
    return {
      write: (text) => void setImmediate(() => this.#hear(this.#spoilt(text))),
      onData: (listener) => {
        data = listener
      },
      onEnd: (listener) => {
        end = listener
      },
      close: async () => {
        this.#wire = undefined
      },
    }
  }

  /** The cable is pulled. */
  pull(): void {
    const wire = this.#wire
    this.#wire = undefined
    if (wire) setImmediate(() => wire.end())
  }

  /** Its power goes, and comes not back to this one: another is made of its folder. */
  powerOff(): void {
    this.#off = true
    this.pull()
  }

  #spoilt(text: string): string {
    return this.#wish.spoil?.(text, this.#pieces) ?? text
  }

  #say(text: string): void {
    this.#pieces += 1
    const wire = this.#wire
    if (wire === undefined) return
    if (this.#pieces > this.cutAfter) {
      this.#wire = undefined
      setImmediate(() => wire.end())
    } else setImmediate(() => wire.data(Buffer.from(this.#spoilt(text), 'latin1')))
  }

  #start(): void {
    const { serial, said = false, timers = boardTimers } = this.#wish
    const parts = { folder: this.folder, suite, timers, serial, said, patience: minutes(5) }
    this.#program = new LineConsole({ ...parts, write: (text) => this.#say(text) })
    this.#program.ended.then(
      () => {
        this.#program = undefined
        if (this.#off) return
        if (this.#wish.shell === undefined) this.#start()
        else this.#say('\r\npi@board:~$ ')
      },
      () => {},
    )
  }

  #hear(text: string): void {
    if (this.#wire === undefined) return
    if (this.#program) this.#program.receive(Buffer.from(text, 'latin1'))
    else this.#typeIn(text)
  }

  #typeIn(text: string): void {
    const { shell } = this.#wish
    this.#typed += text
    while (this.#typed.includes('\r')) {
      const at = this.#typed.indexOf('\r')
      const line = this.#typed.slice(0, at)
      this.#typed = this.#typed.slice(at + 1)
      this.#say(`${this.#stage === 'password' ? '' : line}\r\n`)
      if (this.#stage === 'login' && line === shell?.user) this.#stage = shell?.password === undefined ? 'shell' : 'password'
      else if (this.#stage === 'password') this.#stage = line === shell?.password ? 'shell' : 'login'
      if (this.#stage === 'shell' && /adit-agent enrol --console$/.test(line)) this.#start()
      else
        this.#say({ login: 'raspberrypi login: ', password: 'Password: ', shell: '\x1b[01;32mpi@board\x1b[0m:~$ ' }[this.#stage])
    }
  }
}
