import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { AditError } from '#shared/errors.ts'

/** Runs a program on our own terminal and resolves with its exit status, or 128 + the signal that ended it, as a shell would say. */
export function runInherited(command: string, words: readonly string[]): Promise<number> {
  // Ctrl-C goes to the whole group: it is the program's to handle, and we leave when it has left.
  const ignore = (): void => {}
  process.on('SIGINT', ignore).on('SIGQUIT', ignore)
  return new Promise<number>((resolve, reject) => {
    const child = spawn(command, words, { stdio: 'inherit' })
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
    process.on('SIGTERM', pass).on('SIGHUP', pass)
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? missing(command) : error))
    child.once('exit', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  }).finally(() => process.off('SIGINT', ignore).off('SIGQUIT', ignore))
}

const missing = (command: string): AditError =>
  new AditError('no-ssh', `There is no ${command} on this machine.`, 'Install OpenSSH: apt install openssh-client.')
