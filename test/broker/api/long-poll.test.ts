import assert from 'node:assert/strict'
import test from 'node:test'
import { LongPolls } from '#broker/api/long-poll.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'

class HandTimers implements Timers {
  readonly due = new Set<() => void>()
  setTimer(_delay: number, call: () => void): { clear(): void } {
    this.due.add(call)
    return { clear: () => void this.due.delete(call) }
  }
  fire(): void {
    for (const call of this.due) call()
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const wait = { span: seconds(30), device: 7, subject: 3 }

test('it looks once where nothing is to be waited for, or where there is enough', async () => {
  const timers = new HandTimers()
  const polls = new LongPolls(timers)
  assert.equal(
    await polls.until(
      { ...wait, span: milliseconds(0) },
      async () => 0,
      (n) => n > 0,
    ),
    0,
  )
  assert.equal(
    await polls.until(
      wait,
      async () => 5,
      (n) => n > 0,
    ),
    5,
  )
  assert.equal(timers.due.size, 0)
})

test('it looks again when something came for its device, and for no other', async () => {
  const timers = new HandTimers()
  const polls = new LongPolls(timers)
  let rows = 0
  let looks = 0
  const answer = polls.until(
    wait,
    async () => {
      looks++
      return rows
    },
    (n) => n > 0,
  )
  await settle()
  polls.arrived(8)
  await settle()
  assert.equal(looks, 1)
  rows = 2
  polls.arrived(7)
  assert.equal(await answer, 2)
  assert.equal(timers.due.size, 0)
})

test('what arrives while it looks is not lost', async () => {
  const polls = new LongPolls(new HandTimers())
  let rows = 0
  const answer = polls.until(
    wait,
    async () => {
      const seen = rows
      if (seen === 0) {
        rows = 1
        polls.arrived(7)
      }
      await settle()
      return seen
    },
    (n) => n > 0,
  )
  assert.equal(await answer, 1)
})

test('its time, a close, and a change of the asker’s rights each end a wait', async () => {
  const timers = new HandTimers()
  const polls = new LongPolls(timers)
  const timed = polls.until(
    wait,
    async () => 0,
    (n) => n > 0,
  )
  await settle()
  timers.fire()
  assert.equal(await timed, 0)

  let revoked = false
  const judged = polls.until(
    wait,
    async () => {
      if (revoked) throw new Error('forbidden')
      return 0
    },
    (n) => n > 0,
  )
  await settle()
  revoked = true
  polls.wakeSubject(3)
  await assert.rejects(judged, /forbidden/)

  const closed = polls.until(
    wait,
    async () => 0,
    (n) => n > 0,
  )
  await settle()
  polls.close()
  assert.equal(await closed, 0)
  assert.equal(
    await polls.until(
      wait,
      async () => 0,
      (n) => n > 0,
    ),
    0,
  )
})
