import { getSystemErrorName } from 'node:util'
import { Errno, type Libc, O_NONBLOCK } from './libc.ts'
import type { NativeRefusal } from './native.ts'

/**
 * A sandbox (seccomp) may forbid calls that only a lane makes: each is made once, asking for nothing, so that it is told here and not by a
 * thread that fails for ever.
 */
export function forbiddenCalls(libc: Libc): NativeRefusal | undefined {
  const event = libc.eventfd(0, O_NONBLOCK)
  if (event < 0) return refusal('eventfd', libc.errno())
  libc.close(event)
  if (libc.poll(0, 0, 0) < 0) return refusal('poll', libc.errno())
  // Without a socket these fail for that reason, and for no other.
  const asked = [
    ['recvmmsg', () => libc.recvmmsg(-1, 0, 0, 0, 0)],
    ['sendmsg', () => libc.sendmsg(-1, 0, 0)],
    ['writev', () => libc.writev(-1, 0, 0)],
  ] as const
  for (const [name, ask] of asked) {
    ask()
    const errno = libc.errno()
    if (errno !== Errno.EBADF) return refusal(name, errno)
  }
  return undefined
}

function refusal(call: string, errno: number): NativeRefusal {
  const message = `This program may not call ${call} here (${getSystemErrorName(-errno)}).`
  return { code: 'no-permission', message, mend: 'Allow it in the sandbox (systemd: SystemCallFilter, containers: seccomp).' }
}
