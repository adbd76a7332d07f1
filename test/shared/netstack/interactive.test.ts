import assert from 'node:assert/strict'
import test from 'node:test'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { VirtualNet } from './virtual-net.ts'

const roundTrip = 100
const echoes = 2_000

/** Milliseconds from each keystroke to its echo, in rising order. */
async function keystrokes(seed: number, loss: number): Promise<number[]> {
  const net = new VirtualNet(seed, { delay: roundTrip / 2 })
  net.b.listen({ port: 22, allowHalfOpen: true }, (socket) => {
    socket.setNoDelay(true)
    socket.on('data', (data: Buffer) => socket.write(data))
  })
  const client: TcpSocket = net.a.connect({ address: 'fd00::b', port: 22 })
  client.setNoDelay(true)
  let got = 0
  client.on('data', (data: Buffer) => (got += data.length))
  assert.ok(await net.run(() => !client.connecting, 5_000))
  const times: number[] = []
  net.faults.loss = loss
  for (let typed = 1; typed <= echoes; typed++) {
    const from = net.now()
    client.write('k')
    assert.ok(await net.run(() => got >= typed, 60_000))
    times.push(net.now() - from)
    await net.pass(150 + 100 * net.random())
  }
  return times.sort((one, other) => one - other)
}

test('an echo over a path of 100 ms that loses 5 % each way: p99 within 2.5 round trips', async (t) => {
  const times = (await Promise.all([1, 2, 3].map((seed) => keystrokes(seed, 0.05)))).flat().sort((a, b) => a - b)
  const at = (part: number): number => times[Math.ceil(part * times.length) - 1]!
  t.diagnostic(`n=${times.length} p50=${at(0.5)} p99=${Math.round(at(0.99))} max=${Math.round(at(1))} ms, seeds 1 to 3`)
  assert.ok(at(0.99) <= 2.5 * roundTrip)
})
