import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { AditError } from '#shared/errors.ts'
import { Libc } from '#shared/platform/linux-engine/libc.ts'
import { UdpPort, type UdpPortOptions } from '#shared/platform/linux-engine/udp-port.ts'
import { native, noNative } from './native-here.ts'

const skip = noNative

function bind(options: UdpPortOptions): UdpPort {
  return UdpPort.bind(new Libc(native), native.memory(1), options)
}

async function listener(t: { after(f: () => void): void }, address: string, port = 0) {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', ipv6Only: address.includes(':') })
  socket.bind(port, address)
  await once(socket, 'listening')
  t.after(() => socket.close())
  return socket
}

test('one number serves both families, and datagrams leave by it', { skip }, async (t) => {
  const port = bind({ port: 0 })
  t.after(() => port.close())
  assert.ok(port.local.port > 0)
  for (const address of ['127.0.0.1', '::1']) {
    if (address === '::1' && port.descriptors.v6 < 0) continue
    const socket = await listener(t, address)
    const arrived = once(socket, 'message')
    assert.ok(port.sendTo(Uint8Array.of(1, 2, 3), { address, port: socket.address().port }))
    const [datagram, from] = await arrived
    assert.deepEqual([...datagram], [1, 2, 3])
    assert.deepEqual([from.address, from.port], [address, port.local.port])
  }
  assert.equal(port.dropped, 0)
})

test('a single address is bound in its family alone', { skip }, (t) => {
  const port = bind({ address: '127.0.0.1', port: 0 })
  t.after(() => port.close())
  assert.equal(port.local.address, '127.0.0.1')
  assert.equal(port.descriptors.v6, -1)
  assert.equal(port.sendTo(new Uint8Array(1), { address: '::1', port: port.local.port }), false)
  assert.equal(port.dropped, 1)
})

test('what cannot be sent is dropped and counted: too long, no address, a carrier', { skip }, (t) => {
  const port = bind({ address: '127.0.0.1', port: 0 })
  t.after(() => port.close())
  const to = { address: '127.0.0.1', port: port.local.port }
  assert.ok(port.sendTo(new Uint8Array(9_216), to))
  assert.equal(port.sendTo(new Uint8Array(9_217), to), false)
  assert.equal(port.sendTo(new Uint8Array(1), { address: 'nowhere.example', port: 1 }), false)
  assert.equal(port.sendTo(new Uint8Array(1), { address: 'websocket/3', port: 0 }), false)
  assert.equal(port.dropped, 3)
})

test('a port that is taken is an error with a mend, in either family', { skip }, async (t) => {
  const isTaken = (error: unknown) =>
    error instanceof AditError && error.code === 'port-in-use' && error.mend.includes('ss -ulpn')
  const other = await listener(t, '0.0.0.0')
  assert.throws(() => bind({ port: other.address().port }), isTaken)
  assert.throws(() => bind({ port: other.address().port, shared: true }), isTaken, 'although it would be shared')
  const first = bind({ port: 0 })
  t.after(() => first.close())
  if (first.descriptors.v6 < 0) return
  const six = await listener(t, '::')
  assert.throws(() => bind({ port: six.address().port }), isTaken)
})

test('a shared port leaves single addresses to others who share it', { skip }, (t) => {
  const all = bind({ port: 0, shared: true })
  t.after(() => all.close())
  const one = bind({ address: '127.0.0.1', port: all.local.port, shared: true })
  t.after(() => one.close())
  assert.equal(one.local.port, all.local.port)
  assert.throws(() => bind({ address: '127.0.0.1', port: all.local.port }), { code: 'port-in-use' })
})

test('an address that is not of this machine is told as Node’s own sockets have it told', { skip }, () => {
  assert.throws(
    () => bind({ address: '192.0.2.77', port: 0 }),
    (error: AditError) => error.code === 'config-invalid' && (error.cause as NodeJS.ErrnoException).code === 'EADDRNOTAVAIL',
  )
})
