import assert from 'node:assert/strict'
import test from 'node:test'
import { ServerCertificate } from '#broker/api/server-certificate.ts'
import { silentLog } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { ApiFixture, oneDay } from '#test/broker/api/api-fixture.ts'

test('the API’s certificate is renewed while the broker runs', async (t) => {
  const fixture = await ApiFixture.open(t)
  const waiting: (() => void)[] = []
  const timers: Timers = {
    setTimer(_delay, call) {
      waiting.push(call)
      return { clear() {} }
    },
  }
  const used: string[] = []
  const keeper = new ServerCertificate(fixture.authority, timers, silentLog, ({ cert }) => void used.push(cert))
  const before = fixture.authority.tls.cert
  const look = async (): Promise<void> => {
    waiting.shift()?.()
    while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await look()
  assert.deepEqual(used, [])
  fixture.clock.forward(150 * oneDay)
  await look()
  assert.deepEqual(used, [fixture.authority.tls.cert])
  assert.notEqual(used[0], before)
  keeper.stop()
})
