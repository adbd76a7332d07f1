import assert from 'node:assert/strict'
import test from 'node:test'
import { UdpReturn } from '#agent/core/udp-return.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { instant, milliseconds } from '#shared/time/instant.ts'
import { carriedBy, type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import { agentAt, brokerAt, configFor, turns, VirtualAgent, VirtualBroker, World } from '#test/agent/core/virtual-world.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

const websocket = carriedBy('websocket', 1)

/** An agent whose UDP is blocked, up over a WebSocket. */
function carried(seed: number) {
  const world = new World(seed)
  const broker = new VirtualBroker(world, brokerAt)
  broker.alsoAt(websocket)
  const agent = new VirtualAgent(world, agentAt, seed + 5)
  broker.known.set(toHex(agent.key.publicKey), undefined)
  world.filter = (_, from, to) => isCarried(from) && isCarried(to)
  agent.core.configure(configFor(broker), [brokerAt, websocket])
  assert.ok(world.run(10_000, () => agent.core.path?.carrier === 'websocket'))
  return { world, broker, agent }
}

test('back on UDP within 60 s of its working', (t) => {
  const times: number[] = []
  for (let seed = 1; seed <= 100; seed++) {
    const { world, agent } = carried(seed)
    world.run(seed * 1_234)
    assert.equal(agent.core.path?.carrier, 'websocket')
    world.filter = () => true
    const from = world.now()
    assert.ok(world.run(60_000, () => agent.core.path?.carrier === 'udp'))
    times.push(world.now() - from)
    world.run(60_000)
    assert.equal(agent.core.path?.carrier, 'udp')
    assert.equal(agent.core.health.state, 'up')
    assert.equal(agent.count('connecting'), 1)
  }
  times.sort((a, b) => a - b)
  t.diagnostic(`n 100, p50 ${times[50]} ms, p99 ${times[99]} ms, seeds 1..100`)
})

test('a stream that runs across the block and the return loses no byte', async () => {
  const { world, agent, broker } = carried(7)
  const accepted: TcpSocket[] = []
  broker.netstack.listen({ port: 1883 }, (socket) => accepted.push(socket.on('error', () => {})))
  const near = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 }).on('error', () => {})
  await turns(world, 1_000, () => accepted.length > 0)
  const [up, down]: [number[], number[]] = [[], []]
  accepted[0]!.on('data', (chunk: Uint8Array) => up.push(...chunk))
  near.on('data', (chunk: Uint8Array) => down.push(...chunk))
  const carriers: string[] = []
  for (let i = 0; i < 600; i++) {
    near.write(Uint8Array.of(i))
    accepted[0]!.write(Uint8Array.of(i))
    await turns(world, 200, () => false)
    const { carrier } = agent.core.path ?? { carrier: 'none' }
    if (carriers.at(-1) !== carrier) carriers.push(carrier)
    if (i === 50) world.filter = () => true
    if (i === 300) world.filter = (_, from, to) => isCarried(from) && isCarried(to)
    if (i === 400) world.filter = () => true
  }
  await turns(world, 3_000, () => up.length === 600 && down.length === 600)
  const expected = Array.from({ length: 600 }, (_, i) => i & 0xff)
  assert.deepEqual(up, expected)
  assert.deepEqual(down, expected)
  assert.deepEqual(carriers, ['websocket', 'udp', 'websocket', 'udp'])
  agent.core.stop()
  broker.netstack.destroy()
})

test('UDP that answers questions and carries no data is left alone', () => {
  const { world, agent, broker } = carried(9)
  const isData = (bytes: Uint8Array): boolean => bytes[0] === 4 && bytes.length >= 32
  world.filter = (bytes, from, to) => (isCarried(from) && isCarried(to)) || !isData(bytes)
  let heard = 0
  broker.netstack.bindUdp({ port: 9 }, () => heard++)
  const udp = agent.core.netstack.bindUdp({ port: 9 }, () => {})
  for (let i = 0; i < 600; i++) {
    udp.send(new Uint8Array(20), 'fd00:adad::1', 9)
    world.run(200)
  }
  assert.equal(agent.core.path?.carrier, 'websocket')
  assert.equal(heard, 600)
  assert.equal(agent.core.health.state, 'up')
})

test('it asks every 21 to 28 s, only while datagrams are carried', () => {
  const back = new UdpReturn(seededSuite(1))
  const udp: Endpoint = { address: '192.0.2.1', port: 4500 }
  back.setEndpoints([udp, websocket])
  back.use(udp, instant(0))
  assert.equal(back.deadline(), undefined)
  back.use(websocket, instant(0))
  const asked: number[] = []
  for (let now = 0; now < 300_000; now = back.deadline()!) {
    back.expire(instant(now))
    for (let step = back.poll(); step !== undefined; step = back.poll()) if (step.kind === 'ask') asked.push(now)
  }
  const gaps = asked.slice(1).map((at, i) => at - asked[i]!)
  assert.ok(gaps.length > 9 && gaps.every((gap) => gap >= 21_000 && gap <= 28_000), `${gaps}`)
  back.answered(udp, milliseconds(40), instant(300_000))
  assert.deepEqual(back.poll(), { kind: 'probe', endpoint: udp })
  back.use(udp, instant(300_050))
  assert.equal(back.poll(), undefined)
  assert.equal(back.deadline(), undefined)
})
