import assert from 'node:assert/strict'
import test from 'node:test'
import { ServiceDoor } from '#agent/device/service-door.ts'
import type { Duration } from '#shared/time/instant.ts'

/** A door between what the broker's set allows and what an association has shown, its patience in the test's hands. */
function doorWith({ allowed, shown }: { allowed: boolean; shown: boolean }) {
  const seen = { asked: 0, refused: [] as string[], waits: new Map<() => void, Duration>() }
  const state = { allowed }
  const door = new ServiceDoor({
    trust: { allows: () => state.allowed, refused: (from, port) => void seen.refused.push(`${from} ${port}`) },
    timers: {
      setTimer(delay, callback) {
        seen.waits.set(callback, delay)
        return { clear: () => void seen.waits.delete(callback) }
      },
    },
    opens: () => shown,
    ask: () => void seen.asked++,
  })
  const runOut = (): void => {
    for (const callback of [...seen.waits.keys()]) callback()
  }
  return { door, seen, state, runOut }
}

test('whom the set allows comes in at once, and whom nobody has signed for is refused at once', async () => {
  const known = doorWith({ allowed: true, shown: false })
  assert.equal(await known.door.receives('fd00::a', 22), true)
  const stranger = doorWith({ allowed: false, shown: false })
  assert.equal(await stranger.door.receives('fd00::b', 22), false)
  assert.deepEqual([known.seen.asked, stranger.seen.asked], [0, 0], 'the broker is asked for neither')
  assert.deepEqual([known.seen.refused, stranger.seen.refused], [[], ['fd00::b 22']])
})

test('a grant that is ahead of the set waits for it: the one that allows, not any other', async () => {
  const { door, seen, state } = doorWith({ allowed: false, shown: true })
  const coming = door.receives('fd00::a', 22)
  assert.equal(seen.asked, 1)
  door.changed()
  let isIn = false
  void coming.then(() => {
    isIn = true
  })
  await new Promise(setImmediate)
  assert.equal(isIn, false)
  state.allowed = true
  door.changed()
  assert.equal(await coming, true)
  assert.deepEqual([seen.refused, seen.waits.size], [[], 0])
})

test('a grant that the broker has closed since opens nothing, whoever still shows it', async () => {
  const { door, seen, runOut } = doorWith({ allowed: false, shown: true })
  const coming = door.receives('fd00::a', 22)
  assert.deepEqual([...seen.waits.values()], [5_000])
  runOut()
  assert.equal(await coming, false)
  assert.deepEqual(seen.refused, ['fd00::a 22'])
  assert.equal(door.admits('fd00::a', 22), false)
})
