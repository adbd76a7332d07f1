import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { Libc } from '#shared/platform/linux-engine/libc.ts'
import { laneOfDatagram } from '#shared/platform/linux-engine/steering.ts'
import { UdpPort } from '#shared/platform/linux-engine/udp-port.ts'
import { bindPorts } from '#shared/platform/linux-engine/udp-ports.ts'
import { UdpReceiver } from '#shared/platform/linux-engine/udp-receiver.ts'
import { until } from '../town-netstack.ts'
import { native, noNative } from './native-here.ts'

const skip = noNative
const memory = () => native.memory(2 << 20)

function datagramOf(kind: 'noise' | 'esp' | 'other', low: number, length: number): Uint8Array {
  const datagram = new Uint8Array(length).fill(0x11)
  if (kind === 'noise') datagram.set([4, 0, 0, 0, low, 9, 9, 9])
  if (kind === 'esp') datagram.set([0x80, 9, 9, low])
  return datagram
}

test('the kernel brings each datagram to the lane that its number says, in both families', { skip }, async (t) => {
  const room = memory()
  const libc = new Libc(native)
  const lanes = 3
  const ports = bindPorts(libc, room, { port: 0 }, lanes)
  t.after(() => {
    for (const port of ports) port.close()
  })
  assert.equal(ports.length, lanes)
  assert.equal(new Set(ports.map(({ local }) => local.port)).size, 1)
  const receiver = new UdpReceiver(room, libc)
  for (const [address, family] of [
    ['127.0.0.1', 'v4'],
    ['::1', 'v6'],
  ] as const) {
    if (ports[0]!.descriptors[family] < 0) continue
    const socket = createSocket(family === 'v4' ? 'udp4' : 'udp6')
    t.after(() => socket.close())
    const expected: number[] = new Array(lanes).fill(0)
    for (let low = 0; low < 30; low++)
      for (const kind of ['noise', 'esp', 'other'] as const) {
        const datagram = datagramOf(kind, low, 32 + low)
        const lane = laneOfDatagram(datagram, lanes)
        assert.equal(lane, kind === 'other' ? 0 : low % lanes)
        expected[lane]!++
        socket.send(datagram, ports[0]!.local.port, address)
      }
    const came: number[] = new Array(lanes).fill(0)
    const look = (): boolean => {
      for (const [lane, { descriptors }] of ports.entries())
        receiver.receive(descriptors[family], (at, length) => {
          assert.equal(laneOfDatagram(room.bytes.subarray(at, at + length), lanes), lane)
          came[lane]!++
        })
      return came.reduce((sum, count) => sum + count) === 90
    }
    await until(look, 'all arrive')
    assert.deepEqual(came, expected)
  }
})

test('a port that is shared among lanes is nobody else’s, and not theirs where another has it', { skip }, async (t) => {
  const libc = new Libc(native)
  const room = memory()
  const other = createSocket({ type: 'udp4', reuseAddr: true })
  other.bind(0, '0.0.0.0')
  await once(other, 'listening')
  t.after(() => other.close())
  assert.throws(() => bindPorts(libc, room, { port: other.address().port, shared: true }, 2), { code: 'port-in-use' })
  const first = bindPorts(libc, room, { address: '127.0.0.1', port: 0 }, 2)
  t.after(() => {
    for (const port of first) port.close()
  })
  const { port } = first[0]!.local
  assert.throws(() => bindPorts(libc, room, { address: '127.0.0.1', port }, 2), { code: 'port-in-use' })
})

test('single addresses of a shared port may be taken by others, as of a single lane’s', { skip }, (t) => {
  const libc = new Libc(native)
  const room = memory()
  const ports = bindPorts(libc, room, { port: 0, shared: true }, 2)
  const one = UdpPort.bind(libc, room, { address: '127.0.0.1', port: ports[0]!.local.port, shared: true })
  t.after(() => {
    for (const port of [...ports, one]) port.close()
  })
  assert.equal(one.local.port, ports[0]!.local.port)
})

test('where the kernel does not steer there is one port, which serves', { skip }, (t) => {
  const libc = new Libc(native)
  const deaf = Object.assign(Object.create(libc) as Libc, {
    setsockopt: (...[descriptor, level, option, value, length]: Parameters<Libc['setsockopt']>) =>
      option === 51 ? -1 : libc.setsockopt(descriptor, level, option, value, length),
  })
  const ports = bindPorts(deaf, memory(), { address: '127.0.0.1', port: 0 }, 4)
  t.after(() => {
    for (const port of ports) port.close()
  })
  assert.equal(ports.length, 1)
})
