import { execFile } from 'node:child_process'
import { AditError } from '#shared/errors.ts'

const PATIENCE_MS = 10_000

/** The addresses at which systemd-resolved itself answers (systemd-resolved.service(8)). */
export const stubServers: readonly string[] = ['127.0.0.53', '127.0.0.54']

/** systemd-resolved, by its program resolvectl. What is set for an interface vanishes with it. */
export class Resolved {
  readonly #program: string

  constructor(program = 'resolvectl') {
    this.#program = program
  }

  /** Whether it runs and can be spoken to. */
  async works(): Promise<boolean> {
    return (await this.#run('dns')) === undefined
  }

  /** Every name is asked of these servers by this interface, and of no other. */
  async force(name: string, servers: readonly string[]): Promise<void> {
    const steps = [
      ['dns', name, ...servers],
      ['domain', name, '~.'],
      ['default-route', name, 'yes'],
    ] as const
    for (const step of steps) {
      const refusal = await this.#run(...step)
      if (refusal === undefined) continue
      const mend = 'Run as root, or allow this user the actions of org.freedesktop.resolve1 (a polkit rule that does is shipped).'
      throw new AditError('permission-missing', `systemd-resolved does not take our name servers: ${refusal}.`, mend)
    }
  }

  /** Takes it back; the interface may be gone already. */
  async revert(name: string): Promise<void> {
    await this.#run('revert', name)
  }

  /** Undefined, or why it failed. */
  #run(...words: readonly string[]): Promise<string | undefined> {
    const options = { timeout: PATIENCE_MS, env: { ...process.env, LC_ALL: 'C' } }
    return new Promise((resolve) => {
      const child = execFile(this.#program, words, options, (error, _stdout, stderr) => {
        resolve(error === null ? undefined : stderr.trim().replace(/\.$/, '') || error.message)
      })
      // With nobody to type a password, polkit refuses at once.
      child.stdin?.end()
    })
  }
}
