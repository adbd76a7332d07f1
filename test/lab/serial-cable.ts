import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

/**
 * A USB serial cable made of two pseudo-terminals and socat (Debian): a program has one as its console, and the other is FOLDER/ttyUSB0. To
 * pull it is to end socat; the program then hangs up, as at a modem line.
 */
export class SerialCable {
  readonly device: string
  readonly #child: ChildProcess

  private constructor(device: string, child: ChildProcess) {
    this.device = device
    this.#child = child
  }

  /** `command`: as a shell writes it. */
  static async plug(t: { after(end: () => Promise<void>): void }, folder: string, command: string): Promise<SerialCable> {
    const device = join(folder, 'ttyUSB0')
    const child = spawn('socat', [`PTY,link=${device},raw,echo=0`, `EXEC:'${command}',pty,setsid,ctty,stderr`], {
      stdio: 'ignore',
    })
    const cable = new SerialCable(device, child)
    t.after(() => cable.pull())
    while (!existsSync(device) && child.exitCode === null) await wait(20)
    return cable
  }

  async pull(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGTERM')
    await once(this.#child, 'close')
  }
}
