import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type Device, Fleet } from '#test/lab/fleet.ts'
import { buildBundle } from '#test/lab/program.ts'

/** Together, of all agents. */
const rounds = 100
const agents = 2
/** A start takes about half a second: the kill meets loading, the lock, the stores, the handshake, or a tunnel that stands. ms. */
const earliest = 10
const latest = 1_200
/** Up again so soon after any of them, ms. */
const upWithin = 5_000

test('F-22 an agent killed with -9 at a hundred random moments starts clean each time', { timeout: 240_000 }, async (t) => {
  // What is shipped is what is killed.
  buildBundle()
  const fleet = await Fleet.start(t)
  const ann = await fleet.operator('ann', '--admin')
  const ups: number[] = []
  await Promise.all(
    Array.from({ length: agents }, async (_, i) => {
      const device = await fleet.device(`pi-${i}`, { bundle: true })
      for (let round = 0; round < rounds / agents; round++) {
        await device.stop('SIGKILL')
        if (round % 10 === 9) ups.push(await timedStart(device))
        else await killedStart(device)
      }
      ups.push(await timedStart(device))
    }),
  )
  t.diagnostic(`up after ${ups.map((ms) => Math.round(ms)).join(' ')} ms`)
  assert.ok(Math.max(...ups) <= upWithin)
  for (let i = 0; i < agents; i++) {
    const lines = (await ann.must(['telemetry', `pi-${i}`, '--json'])).trim().split('\n')
    const ids = lines.map((line) => JSON.parse(line) as { boot: number; seq: number }).map(({ boot, seq }) => `${boot} ${seq}`)
    assert.equal(new Set(ids).size, ids.length, 'no reading has the place of another')
  }
})

async function timedStart(device: Device): Promise<number> {
  await device.stop('SIGKILL')
  const from = performance.now()
  await device.start()
  return performance.now() - from
}

/** Starts it and lets the next round kill it; it must not have ended by itself before. */
async function killedStart(device: Device): Promise<void> {
  const program = device.launch()
  await wait(randomInt(earliest, latest))
  assert.ok(program.running, program.stderr)
}
