import assert from 'node:assert/strict'
import test from 'node:test'
import { SelfDiagnosis } from '#agent/device/self-diagnosis.ts'
import { broken, ok, warn } from '#agent/doctor/finding.ts'
import type { SelfDiagnosis as Told } from '#agent/doctor/report.ts'
import { silentLog } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'

const well: Told = { verdict: 'ok', findings: [] }
const blocked: Told = { verdict: 'udp-blocked', findings: [broken('udp-blocked', 'UDP is blocked.', 'Open it.')] }
const sshDown: Told = { verdict: 'service-down', findings: [broken('service-down', 'ssh is not running.', 'Start it.')] }

/** Time goes on from one deadline to the next, and every callback has ended before the next. */
class HandTimers implements Timers {
  now = 0
  readonly #due: { at: number; callback: () => unknown }[] = []

  setTimer(delay: number, callback: () => unknown) {
    const entry = { at: this.now + delay, callback }
    this.#due.push(entry)
    return { clear: () => void this.#due.splice(this.#due.indexOf(entry) >>> 0, 1) }
  }

  async pass(ms: number): Promise<void> {
    const end = this.now + ms
    for (;;) {
      const next = this.#due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#due.splice(this.#due.indexOf(next), 1)
      this.now = next.at
      await next.callback()
      for (let turn = 0; turn < 10; turn++) await Promise.resolve()
    }
    this.now = end
  }
}

function scene() {
  const timers = new HandTimers()
  const state = { whole: well, here: well, reached: true, told: [] as string[], examined: 0 }
  const doctor = new SelfDiagnosis({
    timers,
    log: silentLog,
    examine: async () => {
      state.examined++
      return state.whole
    },
    examineHere: async () => state.here,
    tell: async ({ verdict }) => {
      if (!state.reached) throw new Error('no way')
      state.told.push(verdict)
    },
  })
  doctor.start()
  return { timers, state, doctor }
}

const minute = 60_000

test('D15 a device that is well says nothing, and asks nothing of the network', async () => {
  const { timers, state, doctor } = scene()
  doctor.tunnel(true)
  await timers.pass(24 * 60 * minute)
  assert.deepEqual([state.told, state.examined], [[], 0])
})

test('D15 a tunnel that is gone is examined, the verdict told once, and taken back when it is over', async () => {
  const { timers, state, doctor } = scene()
  doctor.tunnel(true)
  state.whole = blocked
  doctor.tunnel(false)
  await timers.pass(15_000)
  assert.equal(state.examined, 0, 'a short break is none')
  await timers.pass(60 * minute)
  assert.deepEqual(state.told, ['udp-blocked'])
  assert.ok(state.examined >= 2 && state.examined <= 4, `${state.examined} examinations in an hour`)
  state.whole = well
  doctor.tunnel(true)
  await timers.pass(minute)
  assert.deepEqual(state.told, ['udp-blocked', 'ok'])
})

test('D15 what cannot be told waits for a way, and is told then', async () => {
  const { timers, state, doctor } = scene()
  state.whole = { verdict: 'nat-symmetric', findings: [warn('nat-symmetric', 'A hard NAT.', 'None.')] }
  state.reached = false
  doctor.tunnel(false)
  await timers.pass(minute)
  assert.deepEqual(state.told, [])
  state.reached = true
  doctor.tunnel(true)
  await timers.pass(minute)
  assert.deepEqual(state.told, ['nat-symmetric'])
})

test('D15 a NAT64 is told once, though all is well, and examined no further', async () => {
  const { timers, state, doctor } = scene()
  state.here = { verdict: 'ok', findings: [ok('nat64', 'Its NAT64 leads there.')] }
  doctor.tunnel(true)
  await timers.pass(60 * minute)
  doctor.tunnel(true)
  await timers.pass(60 * minute)
  assert.deepEqual([state.told, state.examined], [['ok'], 0])
  state.here = well
  await timers.pass(60 * minute)
  assert.deepEqual(state.told, ['ok', 'ok'], 'it is taken back')
})

test('D15 a service that dies behind a living tunnel is told, and what the network has is not forgotten by that', async () => {
  const { timers, state, doctor } = scene()
  state.whole = { verdict: 'nat-symmetric', findings: [warn('nat-symmetric', 'A hard NAT.', 'None.')] }
  doctor.tunnel(false)
  await timers.pass(minute)
  doctor.tunnel(true)
  await timers.pass(minute)
  state.here = sshDown
  await timers.pass(20 * minute)
  state.here = well
  await timers.pass(20 * minute)
  assert.deepEqual(state.told, ['nat-symmetric', 'service-down', 'nat-symmetric'])
  doctor.close()
  state.here = sshDown
  await timers.pass(60 * minute)
  assert.equal(state.told.length, 3, 'a closed one says nothing')
})
