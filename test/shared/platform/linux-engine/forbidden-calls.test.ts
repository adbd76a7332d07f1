import assert from 'node:assert/strict'
import test from 'node:test'
import { forbiddenCalls } from '#shared/platform/linux-engine/forbidden-calls.ts'
import { Errno, Libc } from '#shared/platform/linux-engine/libc.ts'
import { isRefusal, loadNative } from '#shared/platform/linux-engine/native.ts'

test('calls that a sandbox forbids are named, one line each', async (t) => {
  const native = await loadNative()
  if (isRefusal(native)) return t.skip(native.message)
  const libc = new Libc(native)
  assert.equal(forbiddenCalls(libc), undefined)
  for (const name of ['eventfd', 'poll', 'recvmmsg', 'sendmsg', 'writev'] as const) {
    let forbidden = false
    const forbid = (): number => {
      forbidden = true
      return -1
    }
    const shut = Object.create(libc, {
      [name]: { value: forbid },
      errno: { value: () => (forbidden ? Errno.EPERM : libc.errno()) },
    }) as Libc
    const refusal = forbiddenCalls(shut)
    assert.equal(refusal?.code, 'no-permission')
    assert.equal(refusal.message, `This program may not call ${name} here (EPERM).`)
  }
})
