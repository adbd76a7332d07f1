import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Our own programs as separate processes, as a person or a script would start them. */

const root = join(import.meta.dirname, '..', '..')

/**
 * `make test` and `make interop` build what is shipped, and try that: it starts several times as fast. A test by itself tries the checkout,
 * which needs no build.
 */
const triesBundle = process.env.ADIT_PROGRAMS === 'bundle'

/** For those who try what is shipped whichever way they are run: builds it where nobody has. */
export function buildBundle(): void {
  if (!triesBundle) execFileSync(process.execPath, ['build.mjs'], { cwd: root, stdio: 'ignore' })
}

export type ProgramName = 'adit-broker' | 'adit-agent' | 'adit' | 'adit-sim'

export interface StartOptions {
  env?: Readonly<Record<string, string>>
  /** Written to standard input, which is then closed. */
  input?: string
  /** Starts another command in place of one of our programs' names, for example through `ip netns exec`. */
  prefix?: readonly string[]
  /** Runs the bundle that `make build` makes, in place of the checkout; left out: as the whole run of tests does. */
  bundle?: boolean
}

export interface Finished {
  status: number | null
  stdout: string
  stderr: string
}

export type JsonEvent = Readonly<Record<string, unknown>>

/** A program that runs until it is stopped, and says JSON lines on standard output. */
export class Program {
  readonly name: string
  readonly events: JsonEvent[] = []
  stderr = ''
  readonly #child: ChildProcess
  readonly #listeners = new Set<() => void>()
  #ended = false

  private constructor(name: string, child: ChildProcess) {
    this.name = name
    this.#child = child
    child.stderr?.on('data', (bytes: Buffer) => {
      this.stderr += bytes
    })
    createInterface({ input: child.stdout! }).on('line', (line) => {
      try {
        this.events.push(JSON.parse(line))
      } catch {
        this.events.push({ event: 'not-json', line })
      }
      this.#notify()
    })
    child.on('close', () => this.#end())
    child.on('error', (error) => {
      this.stderr += error.message
      // What could never be started closes nothing.
      if (child.pid === undefined) this.#end()
    })
  }

  static start(name: ProgramName, args: readonly string[], options: StartOptions = {}): Program {
    return new Program(name, launch(name, args, options))
  }

  /** Any other command that says JSON lines. */
  static command(command: string, args: readonly string[]): Program {
    return new Program(command, spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }))
  }

  get pid(): number {
    return this.#child.pid!
  }

  get running(): boolean {
    return !this.#ended
  }

  /** The first event that `matches`, already said or to come; fails with what the program said when it ends or `timeoutMs` pass. */
  async event(matches: (event: JsonEvent) => boolean, timeoutMs = 20_000): Promise<JsonEvent> {
    const [event] = await this.eventsUntil((events) => events.some(matches), timeoutMs).then((events) => events.filter(matches))
    return event!
  }

  /** All events once `enough` holds for them. */
  eventsUntil(enough: (events: readonly JsonEvent[]) => boolean, timeoutMs = 20_000): Promise<readonly JsonEvent[]> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        stop()
        const last = this.events.at(-1)
        reject(new Error(`${this.name} ${why}; last event ${JSON.stringify(last)}; it said: ${this.stderr.slice(-2_000)}`))
      }
      const look = () => {
        if (enough(this.events)) {
          stop()
          resolve(this.events)
        } else if (this.#ended) fail('ended')
      }
      const timer = setTimeout(() => fail(`did not get there in ${timeoutMs} ms`), timeoutMs)
      const stop = () => {
        clearTimeout(timer)
        this.#listeners.delete(look)
      }
      this.#listeners.add(look)
      look()
    })
  }

  /** Sends the signal and waits for the end. Returns the exit status, null when killed. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.#ended) {
      this.#child.kill(signal)
      await once(this.#child, 'close')
    }
    return this.#child.exitCode
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  #end(): void {
    this.#ended = true
    this.#notify()
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Runs a program to its end. */
export async function run(
  name: ProgramName,
  args: readonly string[],
  options: StartOptions & { timeoutMs?: number } = {},
): Promise<Finished> {
  return finish(launch(name, args, options), options.timeoutMs)
}

/** Runs any command of the machine to its end. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: StartOptions & { timeoutMs?: number } = {},
): Promise<Finished> {
  const child = spawn(command, args, { env: { ...process.env, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] })
  feed(child, options.input)
  return finish(child, options.timeoutMs)
}

function launch(name: ProgramName, args: readonly string[], options: StartOptions): ChildProcess {
  const program = (options.bundle ?? triesBundle) ? join(root, 'dist', `${name}.js`) : join(root, 'node_modules', '.bin', name)
  const [command, ...words] = [...(options.prefix ?? []), program, ...args]
  const child = spawn(command!, words, { env: { ...process.env, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] })
  feed(child, options.input)
  return child
}

/** A program may end without reading what it is given. */
function feed(child: ChildProcess, input = ''): void {
  child.stdin!.on('error', () => {})
  child.stdin!.end(input)
}

async function finish(child: ChildProcess, timeoutMs = 30_000): Promise<Finished> {
  let stdout = ''
  let stderr = ''
  child.stdout!.on('data', (bytes: Buffer) => {
    stdout += bytes
  })
  child.stderr!.on('data', (bytes: Buffer) => {
    stderr += bytes
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  const [status] = (await Promise.race([
    once(child, 'close'),
    once(child, 'error').then(([error]) => Promise.reject(error)),
  ])) as [number | null]
  clearTimeout(timer)
  return { status, stdout, stderr }
}
