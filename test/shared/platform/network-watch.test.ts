import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import test from 'node:test'
import { NetworkWatch } from '#shared/platform/network-watch.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Duration } from '#shared/time/instant.ts'

/** Real timers, a hundred times as fast. */
const fast = { setTimer: (delay: Duration, call: () => void) => systemTimers.setTimer((delay / 100) as Duration, call) }

function watch(monitor: readonly [string, ...string[]] | null, addresses: () => string) {
  const heard = new EventEmitter()
  let changes = 0
  const onChange = (): void => {
    changes++
    heard.emit('change')
  }
  return { watch: new NetworkWatch({ timers: fast, onChange, monitor, addresses }), heard, count: () => changes }
}

test('F-11 a burst of news from the monitor is told once, when it has ended', async () => {
  const script = "for (let i = 0; i < 5; i++) console.log('default via 192.0.2.1'); setInterval(() => {}, 1000)"
  const { watch: watching, heard, count } = watch([process.execPath, '-e', script], () => 'same')
  await once(heard, 'change')
  assert.equal(count(), 1)
  watching.close()
})

test('news of a neighbour is none, a new address is', async () => {
  let address = 'one'
  const script =
    "process.stdout.write('veth1 up'); setTimeout(() => process.stdout.write('inet'), 300); setInterval(() => {}, 1000)"
  const { watch: watching, heard, count } = watch([process.execPath, '-e', script], () => address)
  setTimeout(() => (address = 'two'), 150)
  await once(heard, 'change')
  assert.equal(count(), 1)
  assert.equal(address, 'two')
  watching.close()
})

test('without a monitor, and after one that fails again and again, addresses are looked at', async () => {
  for (const monitor of [null, ['/nowhere/ip'], [process.execPath, '-e', '']] as const) {
    let address = 'one'
    const { watch: watching, heard, count } = watch(monitor, () => address)
    setTimeout(() => (address = 'two'), 100)
    await once(heard, 'change')
    assert.equal(count(), 1)
    watching.close()
  }
})
