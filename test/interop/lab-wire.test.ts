import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { milliseconds } from '#shared/time/instant.ts'
import { natKinds } from '#sim/nat-box.ts'
import { Internet } from '#test/lab/namespaces.ts'
import { runCommand } from '#test/lab/program.ts'
import { LabWire, type LabWireOptions } from '#test/lab/wire.ts'

/** The lab's own wire, judged by the kernel's ping and TCP. */

function two(t: TestContext, options: Pick<LabWireOptions, 'quality' | 'nat'>) {
  const internet = Internet.open(t)
  const [dev, srv] = [internet.host('dev'), internet.host('srv')]
  const inside = { host: dev, addresses: ['192.168.7.2', 'fd99::2'] }
  const wire = new LabWire(t, { inside, outside: { host: srv, addresses: ['198.51.100.2', 'fd99::1'] }, ...options })
  return { dev, srv, wire }
}

test('delay, MTU and loss are what was asked for, in both families', async (t) => {
  const { dev, wire } = two(t, { quality: { delay: milliseconds(150) } })
  for (const address of ['198.51.100.2', 'fd99::1']) {
    const { stdout } = await runCommand('ip', ['netns', 'exec', dev.name, 'ping', '-n', '-c', '2', '-W', '2', address])
    const trip = Number(/= [\d.]+\/([\d.]+)/.exec(stdout)?.[1])
    assert.ok(trip >= 300 && trip < 360, `${trip} ms`)
  }
  const many = await runCommand('ip', ['netns', 'exec', dev.name, ...'ping -n -c 8 -i 0.02 -W 2 198.51.100.2'.split(' ')])
  assert.match(many.stdout, / 8 received/, 'what is under way stays what it was')
  wire.quality = { mtu: 1_000 }
  const ping = (size: number) =>
    runCommand('ip', ['netns', 'exec', dev.name, 'ping', '-n', '-c', '1', '-W', '1', '-s', String(size), '198.51.100.2'])
  assert.equal((await ping(972)).status, 0)
  assert.notEqual((await ping(973)).status, 0)
  wire.quality = { loss: 1 }
  assert.equal(await dev.pings('198.51.100.2', 2), 0)
})

test('a full cone NAT: TCP passes with right checksums, a stranger reaches the mapped UDP port, a forgotten one is another', async (t) => {
  const behaviour = { ...natKinds['full-cone'], portPreservation: false }
  const { dev, srv, wire } = two(t, { nat: { behaviour, outsideAddress: '203.0.113.9' } })
  const on = (host: { name: string }, script: string) =>
    runCommand('ip', ['netns', 'exec', host.name, process.execPath, '-e', script])
  const server = on(
    srv,
    `require('net').createServer((c) => { let n = 0; c.on('data', (d) => { n += d.length }); c.on('end', () => {
      console.log(c.remoteAddress, n); process.exit() }) }).listen(7000, '198.51.100.2')`,
  )
  const client = await on(
    dev,
    `const go = () => { const c = require('net').connect(7000, '198.51.100.2')
      c.on('error', () => setTimeout(go, 100)); c.on('connect', () => c.end(Buffer.alloc(300000))) }; go()`,
  )
  assert.equal(client.status, 0)
  assert.equal((await server).stdout, '203.0.113.9 300000\n')

  // Whoever asks one port is told by another one, which he has never spoken to, where he came from.
  const teller = on(
    srv,
    `const udp = () => require('dgram').createSocket('udp4'); const [a, b] = [udp(), udp()]; let n = 0
    a.on('message', (_, from) => { b.send(String(from.port), from.port, from.address, () => { if (++n === 2) process.exit() }) })
    a.bind(7001, '198.51.100.2'); b.bind(7002, '198.51.100.2')`,
  )
  const ask = () =>
    on(
      dev,
      `const s = require('dgram').createSocket('udp4'); s.bind(5000)
      const ask = () => { s.send('?', 7001, '198.51.100.2') }; const again = setInterval(ask, 500)
      s.on('message', (told) => { clearInterval(again); console.log(String(told)); s.close() })`,
    )
  const first = await ask()
  wire.nat?.forget()
  const second = await ask()
  assert.match(first.stdout, /^\d+\n$/, first.stderr)
  assert.match(second.stdout, /^\d+\n$/, second.stderr)
  assert.notEqual(first.stdout, second.stdout)
  assert.equal((await teller).status, 0)
})
