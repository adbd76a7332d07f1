import { AditError } from '#shared/errors.ts'

/** Who logs in at a board's console, where a getty is on it. */
export interface ConsoleUser {
  readonly user: string
  readonly password: string | undefined
}

/** Of a terminal: ESC [ … letter. */
const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, 'g')

/** How much of what was last seen is looked at, in characters. */
const tailLength = 200
/** Prompts answered before it is given up: a wrong password asks again and again. */
const promptLimit = 4

/**
 * Finds the way from whatever a console shows to a shell, and starts the board's program there. Pure: `see` takes what comes, `answer` says
 * what to type now, if anything.
 */
export class ConsoleLogin {
  readonly #login: ConsoleUser | undefined
  readonly #command: string
  #tail = ''
  #prompts = 0
  #started = false

  constructor(command: string, login: ConsoleUser | undefined) {
    this.#command = command
    this.#login = login
  }

  /** Whether the board's program was started, so that only it is waited for. */
  get started(): boolean {
    return this.#started
  }

  see(bytes: Uint8Array): void {
    // Colours and cursor movements are no part of a prompt.
    const text = Buffer.from(bytes).toString('latin1').replace(escapes, '')
    this.#tail = (this.#tail + text).slice(-tailLength)
  }

  /** What is to be typed, its end of line included. Throws AditError `line-lost` where no shell can be reached. */
  answer(): string | undefined {
    if (this.#started) return undefined
    const asked = /(login|password|passwort|[#$>%])\s*:?\s*$/i.exec(this.#tail)?.[1]?.toLowerCase()
    if (asked === undefined) return undefined
    this.#tail = ''
    if (++this.#prompts > promptLimit) throw noShell('it asks for a password again and again')
    if (asked === 'login') {
      if (this.#login === undefined) throw noShell('it asks who logs in')
      return `${this.#login.user}\r`
    }
    if (asked.startsWith('passw')) {
      if (this.#login?.password === undefined) throw noShell('it asks for a password')
      return `${this.#login.password}\r`
    }
    this.#started = true
    return `${this.#command}\r`
  }
}

const noShell = (why: string): AditError =>
  new AditError(
    'line-lost',
    `No shell is at this console: ${why}.`,
    'Give --console-user (and its password on standard input), or enable adit-agent-console@ in the image of the board.',
  )
