import assert from 'node:assert/strict'
import test from 'node:test'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { type LinkFaults, VirtualNet } from '#test/shared/netstack/virtual-net.ts'

function pattern(size: number, salt: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8) * salt) & 0xff
  return bytes
}

/** Both ends send `size` bytes, in pieces of odd sizes, and end. */
async function bothWays(seed: number, faults: Partial<LinkFaults>, size: number, address = 'fd00::b'): Promise<VirtualNet> {
  const net = new VirtualNet(seed, faults)
  const received: Record<'a' | 'b', Buffer[]> = { a: [], b: [] }
  let ended = 0
  const use = (socket: TcpSocket, name: 'a' | 'b'): void => {
    socket.on('data', (chunk: Buffer) => received[name].push(Buffer.from(chunk)))
    socket.on('end', () => ended++)
    socket.on('error', (error) => assert.fail(`${name}: ${error.message}`))
    const data = pattern(size, name === 'a' ? 3 : 5)
    for (let at = 0; at < size; ) {
      const next = at + 1 + Math.floor(net.random() * 5_000)
      socket.write(data.subarray(at, next))
      at = next
    }
    socket.end()
  }
  net.b.listen({ port: 80, allowHalfOpen: true }, (socket) => use(socket, 'b'))
  use(net.a.connect({ address, port: 80, allowHalfOpen: true }), 'a')
  assert.ok(await net.run(() => ended === 2, 3_600_000), `seed ${seed}: stalled`)
  assert.ok(Buffer.concat(received.b).equals(pattern(size, 3)))
  assert.ok(Buffer.concat(received.a).equals(pattern(size, 5)))
  net.faults = { delay: 5, jitter: 0, loss: 0, duplicate: 0 }
  await net.pass(200_000)
  for (const stack of [net.a, net.b]) {
    assert.deepEqual(stack.usage, { connections: 0, timeWaits: 0, bufferBytes: 0, fragmentBytes: 0 })
  }
  return net
}

for (let seed = 1; seed <= 24; seed++) {
  const kind = seed % 6
  const faults: Partial<LinkFaults> = [
    { delay: 5 },
    { loss: 0.01 },
    { loss: 0.05, delay: 20 },
    { jitter: 30, delay: 10 },
    { loss: 0.1, duplicate: 0.1, jitter: 10 },
    { loss: 0.25, duplicate: 0.2, jitter: 50 },
  ][kind]!
  test(`bytes arrive as sent, both ways, seed ${seed}: ${JSON.stringify(faults)}`, async () => {
    await bothWays(seed, faults, kind === 5 ? 60_000 : 300_000, seed % 2 === 0 ? 'fd00::b' : '10.0.0.2')
  })
}

async function throughput(faults: Partial<LinkFaults>, size: number): Promise<number> {
  const net = new VirtualNet(99, faults)
  let got = 0
  net.b.listen({ port: 80 }, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length
    })
  })
  const started = net.now()
  net.a.connect({ address: 'fd00::b', port: 80 }).end(Buffer.alloc(size))
  assert.ok(await net.run(() => got === size))
  return (size * 8) / 1000 / (net.now() - started)
}

test('reordering does not kill throughput', async () => {
  const straight = await throughput({ delay: 20 }, 4_000_000)
  const reordered = await throughput({ delay: 20, jitter: 10 }, 4_000_000)
  assert.ok(reordered > straight / 3, `${reordered.toFixed(0)} against ${straight.toFixed(0)} Mbit/s`)
})

test('at 1 % loss the rate is that of the congestion control, not of timeouts', async () => {
  // Reno's square-root law gives 1.22 MSS / (RTT sqrt p) = 29 Mbit/s at 4 ms.
  const rate = await throughput({ delay: 2, loss: 0.01 }, 8_000_000)
  assert.ok(rate > 20, `${rate.toFixed(1)} Mbit/s`)
})

test('ten thousand connections, opened and closed, leave nothing behind', async () => {
  const net = new VirtualNet(3, { delay: 1 }, { a: { limits: { timeWait: 64 } }, b: { limits: { timeWait: 64 } } })
  net.b.listen({ port: 80 }, (socket) => {
    socket.on('data', (chunk: Buffer) => socket.write(chunk))
    socket.on('error', () => assert.fail('server side'))
  })
  const round = async (count: number): Promise<void> => {
    let closed = 0
    for (let i = 0; i < count; i++) {
      const socket = net.a.connect({ address: 'fd00::b', port: 80 })
      socket.end('hello')
      socket.resume()
      socket.on('close', () => closed++)
    }
    assert.ok(await net.run(() => closed === count))
  }
  await round(500)
  const collect = globalThis.gc
  collect?.()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 20; i++) await round(500)
  collect?.()
  const growth = process.memoryUsage().heapUsed - before
  await net.pass(100_000)
  for (const stack of [net.a, net.b]) {
    assert.deepEqual(stack.usage, { connections: 0, timeWaits: 0, bufferBytes: 0, fragmentBytes: 0 })
    assert.equal(stack.deadline(), undefined)
  }
  if (collect !== undefined) assert.ok(growth < 4e6, `${growth} bytes`)
})
