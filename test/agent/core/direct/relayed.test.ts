import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Netstack, type TcpSocket } from '#shared/netstack/netstack.ts'
import { FilteringBroker, type Scene, scene } from './direct-world.ts'

const hard = { device: 'symmetric', operator: 'symmetric', filtering: true } as const

/** Both ends believe nothing but their association; where neither NAT lets a direct way be. */
function strictly(place: Scene): Scene {
  const { world, operator, device } = place
  operator.strict = device.strict = true
  assert.ok(world.run(5_000, () => operator.core.state === 'up' && device.core.state === 'up'))
  world.run(500)
  return place
}

/** Bytes that say where they are in their stream. */
const chunkAt = (at: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => ((at + i) * 31 + ((at + i) >> 8)) & 0xff)

/** Writes `total` bytes into a socket, as fast as it takes them, and ends it. */
function pour(socket: TcpSocket, total: number): void {
  let at = 0
  const more = (): void => {
    while (at < total && !socket.destroyed) {
      const chunk = chunkAt(at, Math.min(16_384, total - at))
      at += chunk.length
      if (!socket.write(chunk) && at < total) return void socket.once('drain', more)
    }
    socket.end()
  }
  more()
}

interface Count {
  bytes: number
  wrong: number
  error: Error | undefined
  ended: boolean
}

function drain(socket: TcpSocket): Count {
  const count: Count = { bytes: 0, wrong: 0, error: undefined, ended: false }
  socket.on('data', (chunk: Uint8Array) => {
    const expected = chunkAt(count.bytes, chunk.length)
    if (Buffer.compare(expected, chunk) !== 0) count.wrong++
    count.bytes += chunk.length
  })
  socket.on('end', () => {
    count.ended = true
  })
  socket.on('error', (error) => {
    count.error = error
  })
  return count
}

/** Both directions at once, until both have ended or the world has run for `patience` ms. Returns the ms that it took. */
async function exchange({ world, device, operator }: Scene, total: number, patience: number) {
  let there: Count | undefined
  device.core.netstack.listen({ port: 22, allowHalfOpen: true }, (socket) => {
    there = drain(socket)
    pour(socket, total)
  })
  const socket = operator.core.netstack.connect({ address: device.inner, port: 22, allowHalfOpen: true })
  const back = drain(socket)
  socket.once('connect', () => pour(socket, total))
  const from = world.now()
  while (world.now() - from < patience && !(back.ended && there?.ended) && back.error === undefined) {
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
    world.run(20)
  }
  return { there, back, took: world.now() - from }
}

for (const { name, loss, mtu, total } of [
  { name: 'a clean path', loss: 0, mtu: 1500, total: 3_000_000 },
  { name: '3 % loss', loss: 0.03, mtu: 1500, total: 500_000 },
  { name: 'a path on which each packet takes two pieces', loss: 0, mtu: 1300, total: 1_000_000 },
  { name: '3 % loss and two pieces a packet', loss: 0.03, mtu: 1300, total: 300_000 },
])
  test(`F-12 a stream both ways inside the association, through the hub, byte by byte: ${name}`, async (t) => {
    const place = scene(hard)
    place.world.mtu = mtu
    strictly(place)
    place.operator.core.direct!.seek(place.target(), 'relay')
    place.world.loss = loss
    const { there, back, took } = await exchange(place, total, 240_000)
    t.diagnostic(`${(total / 1e6).toFixed(1)} MB each way in ${(took / 1000).toFixed(1)} s of virtual time`)
    assert.equal(back.error, undefined)
    assert.deepEqual([there?.bytes, there?.wrong, there?.ended], [total, 0, true])
    assert.deepEqual([back.bytes, back.wrong, back.ended], [total, 0, true])
    assert.equal(place.operator.path('pi'), 'relay')
    assert.ok(place.broker instanceof FilteringBroker && place.broker.plain === 0, 'the broker saw no TCP of theirs')
  })

test('F-12 a stream that began inside the association goes on there, whatever else of the association takes the hub', async () => {
  // Easy NATs: the stream goes direct, while probes and handshakes of the same association come through the hub.
  const place = scene({ ...hard, device: 'full-cone', operator: 'full-cone' })
  const { world, operator, device } = place
  assert.ok(world.run(5_000, () => operator.core.state === 'up' && device.core.state === 'up'))
  operator.core.direct!.seek(place.target())
  assert.ok(world.run(5_000, () => operator.path('pi') === 'reflexive' && device.path('ann') === 'reflexive'))
  const peer = [...operator.core.direct!.peers()][0]!
  const disturb = setInterval(() => peer.say({ kind: 'probe', id: 5 }, peer.overlay, world.now()), 1)
  const { there, back } = await exchange(place, 1_000_000, 60_000)
  clearInterval(disturb)
  assert.equal(back.error, undefined)
  assert.deepEqual([there?.bytes, back.bytes, there?.wrong, back.wrong], [1_000_000, 1_000_000, 0, 0])
  assert.ok(place.broker instanceof FilteringBroker && place.broker.plain === 0)
})

test('an operator without a pinned key says everything inside the association to a device that has one', async () => {
  const place = scene(hard)
  strictly(place).operator.strict = false
  place.operator.core.direct!.seek(place.target(), 'relay')
  const { there, back } = await exchange(place, 100_000, 60_000)
  assert.deepEqual([there?.bytes, back.bytes, back.error], [100_000, 100_000, undefined])
})

test('the hub’s way to the device is smaller than the operator’s: sealed packets come in more pieces', async () => {
  const place = scene(hard)
  const { world, device } = place
  // Outer bytes that pass between the device and the broker.
  world.filter = (datagram, from, to) =>
    datagram.length <= 900 || (from.address !== '203.0.113.1' && to.address !== '203.0.113.1')
  strictly(place)
  assert.ok(world.run(60_000, () => device.core.path !== undefined && device.core.path.innerMtu < 900))
  world.run(5_000)
  place.operator.core.direct!.seek(place.target(), 'relay')
  const { there, back } = await exchange(place, 200_000, 120_000)
  assert.deepEqual([there?.bytes, back.bytes, back.error], [200_000, 200_000, undefined])
})

/** How many connections the device takes that its broker makes up in the operator's name, of which the operator knows nothing. */
function forged(isStrict: boolean, isMet: boolean): number {
  const place = strictly(scene(hard))
  const { world, broker, device, operator } = place
  operator.strict = device.strict = isStrict
  if (isMet) {
    operator.core.direct!.seek(place.target(), 'relay')
    assert.ok(world.run(5_000, () => device.path('ann') === 'relay'))
  }
  let taken = 0
  device.core.netstack.listen({ port: 22, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    taken++
  })
  // A whole host in the thief's hands, at the operator's inner address.
  const thief: Netstack = new Netstack({
    suite: nativeSuite,
    clock: world,
    addresses: [operator.inner],
    transmit: (packet) => broker.forward(toHex(device.key.publicKey), packet),
  })
  assert.ok(broker instanceof FilteringBroker)
  broker.diverts = (packet) => thief.input(packet)
  thief.connect({ address: device.inner, port: 22 }).on('error', () => {})
  world.run(10_000)
  return taken
}

test('A-92 a broker that speaks from a granted operator’s address reaches no service of a device with a pinned key', () => {
  assert.equal(forged(false, false), 1, 'a device without one believes its broker')
  assert.equal(forged(false, true), 1)
  assert.equal(forged(true, false), 0)
  assert.equal(forged(true, true), 0, 'nor while the true operator is there')
})
