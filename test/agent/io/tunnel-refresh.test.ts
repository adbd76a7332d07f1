import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { BrokerApi } from '#agent/io/broker-api.ts'
import { Floors } from '#agent/io/floors.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { Tunnel } from '#agent/io/tunnel.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { systemClock as clock } from '#shared/platform/clock.ts'
import { silentLog as log } from '#shared/platform/log.ts'
import { systemTimers as timers } from '#shared/platform/timers.ts'
import { eventually } from '#test/broker/broker-fixture.ts'

test('what the broker says while it is being asked makes the agent ask once more, and only then', async (t) => {
  const folder = await StateFolder.open(await mkdtemp(join(tmpdir(), 'adit-refresh-')))
  t.after(() => rm(folder.path, { recursive: true, force: true }))
  const asked: ((error: Error) => void)[] = []
  const config = () => new Promise<never>((_resolve, reject) => asked.push(reject))
  const tunnel = await Tunnel.open({
    ...{ suite, clock, timers, log, folder },
    keys: await folder.makeKeys(suite),
    record: { api: [], name: 'pi', role: 'device' },
    floors: await Floors.open(folder.file('floor'), clock, log),
    api: () => ({ config }) as unknown as BrokerApi,
    root: new Uint8Array(),
    proxy: () => undefined,
  })
  t.after(() => tunnel.close())
  const answer = (): void => asked.at(-1)!(new AditError('broker-unreachable', 'Nobody answers.', 'Wait.'))
  await eventually(() => asked.length === 1)
  tunnel.refresh()
  tunnel.refresh()
  answer()
  // Long before the second that it waits for after a failure.
  await eventually(() => asked.length === 2, 800)
  answer()
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(asked.length, 2)
})
