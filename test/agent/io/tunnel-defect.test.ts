import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Floors } from '#agent/io/floors.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { Tunnel } from '#agent/io/tunnel.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { systemClock as clock } from '#shared/platform/clock.ts'
import { silentLog as log } from '#shared/platform/log.ts'
import { systemTimers as timers } from '#shared/platform/timers.ts'
import { eventually } from '#test/broker/broker-fixture.ts'

test('a datagram that meets a defect does not end the agent, by which alone a person could come and mend it', async (t) => {
  const folder = await StateFolder.open(await mkdtemp(join(tmpdir(), 'adit-defect-')))
  t.after(() => rm(folder.path, { recursive: true, force: true }))
  const errors: object[] = []
  const tunnel = await Tunnel.open({
    ...{ suite, clock, timers, folder },
    log: { ...log, error: (fields: object) => errors.push(fields) } as never,
    keys: await folder.makeKeys(suite),
    record: { api: [], name: 'pi', role: 'device' },
    floors: await Floors.open(folder.file('floor'), clock, log),
    api: () => ({ config: () => new Promise<never>(() => {}) }) as never,
    root: new Uint8Array(),
    proxy: () => undefined,
  })
  t.after(() => tunnel.close())
  const poison = new RangeError('nobody has thought of this')
  t.mock.method(tunnel.core, 'receive', () => {
    throw poison
  })
  const stranger = createSocket('udp4').bind(0, '127.0.0.1')
  await once(stranger, 'listening')
  t.after(() => stranger.close())
  const { port } = tunnel.outer!.local!
  for (let i = 0; i < 3; i++) stranger.send('poison', port, '127.0.0.1')
  await eventually(() => tunnel.core.counters.of(DropReason.Defect) === 3)
  assert.deepEqual(errors, [{ err: poison, times: 1 }])
})
