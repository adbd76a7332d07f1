import { execFile } from 'node:child_process'
import { AditError } from '#shared/errors.ts'
import type { Family } from './tun-plan.ts'

/** It works for milliseconds. */
const PATIENCE_MS = 10_000
/** What it says at most, bytes: a million routes. */
const MOST_OUTPUT = 256 * 1024 * 1024

/** How far a batch came. */
export interface BatchResult {
  /** Lines that took effect. */
  readonly done: number
  /** Why the next one did not. */
  readonly error?: AditError
}

/** The program `ip` of iproute2. It inherits our capabilities: as another user than root, the ambient ones. */
export class Ip {
  readonly #program: string

  constructor(program = 'ip') {
    this.#program = program
  }

  /** Lines in one process, to the first that fails. */
  async batch(family: Family | undefined, lines: readonly string[]): Promise<BatchResult> {
    if (lines.length === 0) return { done: 0 }
    const { failed, stderr } = await this.#run([...familyWords(family), '-batch', '-'], `${lines.join('\n')}\n`)
    if (!failed) return { done: lines.length }
    const at = /^Command failed -:(\d+)/m.exec(stderr)
    if (at === null) return { done: 0, error: refused(lines[0]!, stderr) }
    const done = Number(at[1]) - 1
    return { done, error: refused(lines[done] ?? '', stderr) }
  }

  /** What a listing says, one object a row. A family or table that the kernel does not have has no rows. */
  async list<Row extends object>(family: Family | undefined, ...words: readonly string[]): Promise<Row[]> {
    const { failed, stdout, stderr } = await this.#run([...familyWords(family), '-json', ...words], '')
    if (failed) {
      if (/FIB table does not exist|not supported/i.test(stderr)) return []
      throw refused(words.join(' '), stderr)
    }
    try {
      const rows: unknown = stdout.trim() === '' ? [] : JSON.parse(stdout)
      return Array.isArray(rows) ? rows : []
    } catch (error) {
      throw new AditError('network-failed', `ip ${words.join(' ')} said what is no JSON.`, INSTALL, { cause: error })
    }
  }

  #run(words: readonly string[], input: string): Promise<{ failed: boolean; stdout: string; stderr: string }> {
    const options = { timeout: PATIENCE_MS, maxBuffer: MOST_OUTPUT, env: { ...process.env, LC_ALL: 'C' } }
    return new Promise((resolve, reject) => {
      const child = execFile(this.#program, words, options, (error, stdout, stderr) => {
        if (error?.code !== undefined && typeof error.code === 'string') {
          const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
          const what = missing ? 'The program ip is missing' : `The program ip cannot be started (${error.code})`
          reject(new AditError('network-failed', `${what}.`, INSTALL, { cause: error }))
        } else
          resolve({ failed: error !== null, stdout, stderr: error?.killed ? `no answer in ${PATIENCE_MS / 1000} s` : stderr })
      })
      // It may have ended before it has read everything.
      child.stdin?.on('error', () => undefined)
      child.stdin?.end(input)
    })
  }
}

const INSTALL = 'Install iproute2 (Debian: apt install iproute2).'

const familyWords = (family: Family | undefined): string[] => (family === undefined ? [] : [`-${family}`])

function refused(line: string, said: string): AditError {
  if (/BusyBox|unrecognized option|invalid option/i.test(said)) {
    return new AditError('network-failed', 'The program ip here is not the one of iproute2.', INSTALL)
  }
  const reason = said
    .split('\n')
    .filter((text) => text !== '' && !text.startsWith('Command failed'))
    .join('; ')
    .replace(/^(RTNETLINK answers|Error): /, '')
    .replace(/\.$/, '')
  if (/Operation not permitted/.test(said)) {
    const mend = 'Run as root, or with CAP_NET_ADMIN as an ambient capability (a systemd unit that does is shipped).'
    return new AditError('permission-missing', `This user may not change the network: ip ${line} (${reason}).`, mend)
  }
  const mend = /File exists/.test(said)
    ? 'Another program has set the same: end it, or choose other networks.'
    : 'Look at what ip address, ip route and ip rule show.'
  return new AditError('network-failed', `ip ${line}: ${reason || 'failed'}.`, mend)
}
