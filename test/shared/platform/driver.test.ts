import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Driver } from '#shared/platform/driver.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Instant, instant, wallTime } from '#shared/time/instant.ts'

function setUp() {
  const at = { ms: 0 }
  let timer: { at: number; callback: () => void } | undefined
  let set = 0
  const timers: Timers = {
    setTimer(delay, callback) {
      set++
      const mine = { at: at.ms + delay, callback }
      timer = mine
      return {
        clear() {
          if (timer === mine) timer = undefined
        },
      }
    },
  }
  const driver = new Driver({ now: () => instant(at.ms), wall: () => wallTime(0) }, timers)
  const machine = { at: undefined as number | undefined, fired: [] as number[] }
  driver.add({
    deadline: () => (machine.at === undefined ? undefined : { at: instant(machine.at), why: 'test' }),
    expire(now: Instant) {
      machine.fired.push(now)
      machine.at = undefined
    },
  })
  const run = (to: number): void => {
    while (timer && timer.at <= to) {
      const due = timer
      timer = undefined
      at.ms = due.at
      due.callback()
    }
    at.ms = to
  }
  return { driver, machine, run, count: () => set, armed: () => timer?.at }
}

test('a machine is woken at its deadline, earlier ones re-arm, later ones cost one early waking', () => {
  const { driver, machine, run, count, armed } = setUp()
  machine.at = 100
  driver.kick()
  machine.at = 50
  driver.kick()
  assert.equal(armed(), 50)
  machine.at = 80
  driver.kick()
  assert.equal(count(), 2)
  run(200)
  assert.deepEqual(machine.fired, [80])
  machine.at = 300
  driver.wake(instant(300))
  run(400)
  assert.deepEqual(machine.fired, [80, 300])
})

test('a closed driver wakes nobody', () => {
  const { driver, machine, run } = setUp()
  machine.at = 10
  driver.kick()
  driver.close()
  driver.kick()
  run(100)
  assert.deepEqual(machine.fired, [])
})
