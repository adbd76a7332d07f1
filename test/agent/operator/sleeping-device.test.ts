import assert from 'node:assert/strict'
import test from 'node:test'
import type { Device } from '#agent/operator/operator-api.ts'
import { SleepingDevice } from '#agent/operator/sleeping-device.ts'
import { instant, wallTime } from '#shared/time/instant.ts'

function setUp() {
  const at = { ms: 0 }
  const notes: string[] = []
  const sleeping = new SleepingDevice({
    clock: { now: () => instant(at.ms), wall: () => wallTime(at.ms) },
    note: (text) => void notes.push(text),
    pause: async (ms) => {
      at.ms += ms
    },
  })
  const device = (change: Partial<Device>, wakeSeconds = 900) =>
    ({ name: 'pi', evidenceAgeSeconds: 400, keepaliveAgeSeconds: 300, data: { wakeSeconds }, ...change }) as unknown as Device
  return { at, notes, sleeping, device }
}

test('the person is told once how long it may take, and the wait ends with a proof', async () => {
  const { notes, sleeping, device } = setUp()
  for (let look = 0; look < 10; look++) assert.equal(await sleeping.waits(device({})), true)
  assert.deepEqual(notes, ['pi sleeps to save data, and looks for calls each 15 min: it wakes in 10 min at the latest.'])
  assert.equal(await sleeping.waits(device({ evidenceAgeSeconds: 4 })), false)
})

test('who is awake is not waited for, nor one whose broker says nothing of data', async () => {
  const { at, notes, sleeping, device } = setUp()
  assert.equal(await sleeping.waits(device({}, 0)), false)
  assert.equal(await sleeping.waits({ ...device({}), data: undefined } as unknown as Device), false)
  assert.deepEqual([at.ms, notes.length], [0, 0])
})

test('a poll that was missed is told as such', async () => {
  const { at, sleeping, device } = setUp()
  await assert.rejects(
    async () => {
      while (await sleeping.waits(device({})));
    },
    { code: 'device-offline' },
  )
  assert.ok(at.ms > 900_000 && at.ms < 1_300_000)
})
