import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { configFor, pair, turns, type World } from '#test/agent/core/virtual-world.ts'

const MEGABYTE = 1024 * 1024

/** Writes `bytes` in chunks as the stream takes them; the receiver's count, and the longest pause between two arrivals. */
function transfer(world: World, from: TcpSocket, to: TcpSocket, bytes: number) {
  const progress = { received: 0, longest: 0, last: world.now() as number }
  to.on('data', (chunk: Uint8Array) => {
    progress.received += chunk.length
    progress.longest = Math.max(progress.longest, world.now() - progress.last)
    progress.last = world.now()
  })
  const chunk = Buffer.alloc(64 * 1024, 7)
  let left = bytes
  const pump = (): void => {
    while (left > 0) {
      const size = Math.min(left, chunk.length)
      left -= size
      if (!from.write(chunk.subarray(0, size))) break
    }
    if (left > 0) from.once('drain', pump)
  }
  pump()
  return progress
}

async function connected(all: ReturnType<typeof pair>): Promise<[TcpSocket, TcpSocket]> {
  const { world, agent, broker } = all
  const accepted: TcpSocket[] = []
  broker.netstack.listen({ port: 1883 }, (socket) => accepted.push(socket.on('error', () => {})))
  assert.ok(world.run(1_000, () => agent.isUp))
  const near = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 }).on('error', () => {})
  assert.ok(await turns(world, 1_000, () => accepted.length > 0 && !near.connecting))
  return [near, accepted[0]!]
}

for (const direction of ['up', 'down'] as const)
  test(`P-25 F-14 10 MB ${direction} through a path that becomes 1280 and then 1000 bytes, without a word of ICMP`, async (t) => {
    const all = pair()
    const { world, agent, broker } = all
    const [near, far] = await connected(all)
    const [from, to] = direction === 'up' ? [near, far] : [far, near]
    const progress = transfer(world, from, to, 10 * MEGABYTE)
    await turns(world, 60_000, () => progress.received > 3 * MEGABYTE)
    world.mtu = 1280
    await turns(world, 60_000, () => progress.received > 6 * MEGABYTE)
    assert.ok(agent.core.path!.mtu <= 1280 && agent.core.path!.mtu > 1280 - 32, `${agent.core.path!.mtu}`)
    world.mtu = 1000
    assert.ok(await turns(world, 60_000, () => progress.received === 10 * MEGABYTE), `${progress.received} bytes came`)
    t.diagnostic(`longest stall ${Math.round(progress.longest)} ms, path ${JSON.stringify(agent.core.path)}`)
    assert.ok(progress.longest <= 3_000, `a stall of ${progress.longest} ms`)
    assert.ok(agent.core.path!.mtu <= 1000 && agent.core.path!.mtu > 1000 - 32)
    world.run(2_000)
    assert.equal(agent.core.health.state, 'up')
    assert.equal(agent.rebinds, 0)
    agent.core.stop()
    broker.netstack.destroy()
  })

test('P-25 a path of 576 bytes from the start, and SYNs that say so', async () => {
  const all = pair()
  const { world, agent, broker } = all
  world.mtu = 576
  assert.ok(world.run(1_000, () => agent.isUp))
  assert.ok(world.run(5_000, () => agent.core.path?.mtu === 576 && agent.core.health.state === 'up'))
  assert.equal(agent.core.path!.innerMtu, 512)
  const [near, far] = await connected(all)
  const [up, down] = [transfer(world, near, far, 200_000), transfer(world, far, near, 200_000)]
  assert.ok(await turns(world, 20_000, () => up.received === 200_000 && down.received === 200_000))
  agent.core.stop()
  broker.netstack.destroy()
})

test('P-25 small packets only is said of a path that lets no full-size packet through, and mended by smaller ones', () => {
  const { world, agent } = pair()
  assert.ok(world.run(1_000, () => agent.isUp))
  world.run(3_000)
  world.mtu = 1_000
  agent.core.watch(true)
  const from = world.now()
  assert.ok(world.run(15_000, () => agent.events.some((e) => e.kind === 'health' && e.health.state === 'small-packets-only')))
  assert.ok(world.now() - from <= 5_000 + 3_000)
  assert.ok(world.run(3_000, () => agent.core.health.state === 'up'))
  assert.equal(agent.core.path!.innerMtu, 928)
})

test('a configured MTU above 1280 is reached where the path has room, and not where it has not', async () => {
  for (const [mtu, inner] of [
    [1500, 1420],
    [1400, 1340],
    [1345, 1280],
    [1460, 1400],
  ] as const) {
    const all = pair()
    const { world, agent, broker } = all
    world.mtu = mtu
    broker.netstack.setMtu(1420)
    const config = configFor(broker)
    agent.core.configure({ ...config, inner: { ...config.inner, mtu: 1420 } }, [broker.at])
    const [near, far] = await connected(all)
    far.resume()
    for (let i = 0; i < 160; i++) {
      near.write(Buffer.alloc(20_000))
      await turns(world, 50, () => false)
    }
    const found = agent.core.path!.innerMtu
    assert.ok(found <= inner && found > inner - 17, `${mtu}: ${found}`)
    agent.core.stop()
    broker.netstack.destroy()
  }
})

test('a packet too big for the path is counted, and its sender told', () => {
  const { world, agent } = pair()
  world.run(1_000, () => agent.isUp)
  world.mtu = 1_000
  agent.core.watch(true)
  assert.ok(world.run(15_000, () => agent.core.path!.mtu <= 1_000))
  const udp = agent.core.netstack.bindUdp({ port: 7 }, () => {})
  assert.ok(udp.send(new Uint8Array(1_100), 'fd00:adad::1', 7) < 0)
  assert.equal(agent.core.counters.of(DropReason.InnerTooBig), 0, 'the netstack refuses it by itself')
})
