import { spawn } from 'node:child_process'
import { access, constants, stat } from 'node:fs/promises'
import type { HookRoad } from '#broker/enrolment/hook.ts'
import { AditError } from '#shared/errors.ts'

/** Longest answer read, bytes. */
const answerLimit = 64 * 1024
/** What a program that fails may say for the log, characters. */
const complaintLimit = 300

/**
 * A program as the hook: the question on standard input, the verdict on standard output, exit status 0. No shell, no arguments, and an
 * environment of three words, so that nothing of a request can be taken for anything but data. After `limitMs` it and what it has
 * started are killed.
 */
export const hookProgram =
  (path: string, limitMs: number): HookRoad =>
  (question) =>
    new Promise((resolve, reject) => {
      const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', HOME: '/' }
      // A process group of its own, so that its children end with it.
      const child = spawn(path, [], { shell: false, detached: true, cwd: '/', env, stdio: ['pipe', 'pipe', 'pipe'] })
      const answer: Buffer[] = []
      let length = 0
      let complaint = ''
      const kill = (why: string): void => {
        clearTimeout(timer)
        killGroup(child.pid)
        reject(new Error(why))
      }
      const timer = setTimeout(() => kill(`it gave no answer within ${limitMs / 1000} s`), limitMs)
      child.once('error', (error) => kill(`it cannot be run: ${error.message}`))
      child.stdout.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > answerLimit) return kill(`its answer is longer than ${answerLimit} bytes`)
        answer.push(chunk)
      })
      child.stderr.on('data', (chunk: Buffer) => {
        complaint = (complaint + chunk.toString('utf8')).slice(-complaintLimit)
      })
      child.once('close', (status, signal) => {
        clearTimeout(timer)
        if (status === 0) return resolve(Buffer.concat(answer).toString('utf8'))
        const how = signal === null ? `with status ${status}` : `by ${signal}`
        reject(new Error(`it ended ${how}${complaint.trim() === '' ? '' : `: ${complaint.trim()}`}`))
      })
      // One that does not read its question closes the pipe before it is written.
      child.stdin.on('error', () => {})
      child.stdin.end(`${question}\n`)
    })

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** Throws AditError `config-invalid` unless there is a file that may be run: without it nobody would enrol. */
export async function requireHookProgram(path: string): Promise<void> {
  const wrong = (what: string, mend: string): AditError =>
    new AditError('config-invalid', `The enrolment hook ${path} ${what}, so nobody could enrol.`, mend)
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile())
    throw wrong('is not there', 'Write the path of a program at hook under [enrolment], or take the line out.')
  const mayRun = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
  if (!mayRun) throw wrong('may not be run', `Let it: chmod +x ${path}`)
}
