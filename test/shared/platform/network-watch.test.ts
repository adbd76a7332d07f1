import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import test, { after } from 'node:test'
import { NetworkWatch } from '#shared/platform/network-watch.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Duration } from '#shared/time/instant.ts'

/** A watch keeps no process alive, and a child may take its time to start. */
const alive = setInterval(() => {}, 60_000)
after(() => clearInterval(alive))

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

test('a monitor that is not installed is tried once', async () => {
  const heard = new EventEmitter()
  const delays: number[] = []
  const setTimer = (delay: Duration, call: () => void) => {
    delays.push(delay)
    return fast.setTimer(delay, call)
  }
  let address = 'one'
  const watching = new NetworkWatch({
    ...{ timers: { setTimer }, monitor: ['/nowhere/ip'] as const, addresses: () => address },
    onChange: () => heard.emit('change'),
  })
  setTimeout(() => (address = 'two'), 100)
  await once(heard, 'change')
  const restart = 10_000
  assert.ok(!delays.includes(restart))
  watching.close()
})

test('what happens to our own interface alone is told apart', async () => {
  const world = { own: '', other: 'eth0 192.0.2.7/24' }
  const told: string[] = []
  const heard = new EventEmitter()
  const tell = (what: string): void => {
    told.push(what)
    heard.emit('change')
  }
  const watching = new NetworkWatch({
    timers: fast,
    onChange: () => tell('network'),
    own: { name: 'adit0', onChange: () => tell('own') },
    monitor: null,
    addresses: () => [world.own, world.other].filter((line) => line !== '').join('\n'),
  })
  world.own = 'adit0 100.64.0.2/32'
  await once(heard, 'change')
  world.other = 'eth0 192.0.2.8/24'
  await once(heard, 'change')
  world.own = ''
  world.other = 'eth0 192.0.2.9/24'
  await once(heard, 'change')
  watching.close()
  assert.deepEqual(told, ['own', 'network', 'network'])
})

test('a default route into our own interface, and its new MTU, are no other network', async () => {
  const told: string[] = []
  const heard = new EventEmitter()
  const line = (text: string): string => `process.stdout.write(${JSON.stringify(`${text}\n`)})`
  const script = `${line('default dev adit0 table 14500 scope link ')}
${line('3: adit0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1400 state UNKNOWN group default ')}
setTimeout(() => ${line('default via 192.0.2.1 dev eth0 ')}, 100); setInterval(() => {}, 1000)`
  const watching = new NetworkWatch({
    timers: fast,
    onChange: () => {
      told.push('network')
      heard.emit('change')
    },
    own: { name: 'adit0', onChange: () => void told.push('own') },
    monitor: [process.execPath, '-e', script],
    addresses: () => 'eth0 192.0.2.7/24',
  })
  await once(heard, 'change')
  watching.close()
  assert.deepEqual(told, ['network'])
})
