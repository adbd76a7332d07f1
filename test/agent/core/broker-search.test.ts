import assert from 'node:assert/strict'
import test from 'node:test'
import { BrokerSearch, type SearchStep } from '#agent/core/broker-search.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { instant } from '#shared/time/instant.ts'
import { carriedBy, type Endpoint, endpointText, isCarried } from '#shared/wire/endpoint.ts'
import { brokerAt, configFor, otherBrokerAt, VirtualAgent, VirtualBroker, World } from '#test/agent/core/virtual-world.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

const v4 = (n: number): Endpoint => ({ address: `192.0.2.${n}`, port: 4500 })
const v6 = (n: number): Endpoint => ({ address: `2001:db8::${n}`, port: 4500 })
const websocket = carriedBy('websocket', 1)

/** Everything that the search does until `ms`, as text with the time. */
function log(search: BrokerSearch, ms: number, from = 0): string[] {
  const lines: string[] = []
  for (let now = from; now <= ms; now = Math.max(now + 1, Math.ceil(search.deadline() ?? ms + 1))) {
    for (let step = search.step(instant(now)); step !== undefined; step = search.step(instant(now)))
      lines.push(`${now} ${textOf(step)}`)
  }
  return lines
}

const textOf = (step: SearchStep): string =>
  step.kind === 'try' || step.kind === 'ask' ? `${step.kind} ${endpointText(step.endpoint)}` : step.kind

function searchOf(...endpoints: Endpoint[]): BrokerSearch {
  const search = new BrokerSearch(seededSuite(1))
  search.setEndpoints(endpoints)
  search.begin(instant(0))
  return search
}

const tries = (lines: string[]): string[] => lines.filter((line) => line.includes(' try '))

test('UDP has a head start before ways that carry datagrams, families take turns, and all UDP addresses are asked', () => {
  const lines = log(searchOf(v4(1), v4(2), v6(1), websocket), 9_000)
  assert.deepEqual(tries(lines).slice(0, 4), [
    '0 try 192.0.2.1:4500',
    '1500 try websocket/1',
    '4500 try [2001:db8::1]:4500',
    '6000 try 192.0.2.2:4500',
  ])
  assert.ok(lines.includes('250 ask 192.0.2.1:4500') && lines.includes('250 ask [2001:db8::1]:4500'))
  assert.ok(!lines.some((line) => line.includes('ask websocket')))
})

test('one address alone is never asked, only tried', () => {
  const lines = log(searchOf(v4(1)), 29_000)
  assert.ok(lines.every((line) => line.includes('try')))
  assert.equal(lines[0], '0 try 192.0.2.1:4500')
})

test('where whose turn it was is no place any more, the first of the new list has its turn at once', () => {
  const search = searchOf(v6(1), v4(1), websocket)
  log(search, 100)
  search.setEndpoints([v4(1), websocket], v4(1))
  assert.deepEqual(tries(log(search, 1_500, 100)), ['100 try 192.0.2.1:4500'])
})

test('an address that answers a question has its turn at once, but once a round', () => {
  const search = searchOf(v4(1), v6(1), websocket)
  log(search, 260)
  search.answered(v6(1), instant(300))
  assert.deepEqual(log(search, 310, 300), ['300 try [2001:db8::1]:4500'])
  search.answered(v4(1), instant(400))
  assert.deepEqual(tries(log(search, 1_000, 400)), [], 'the other one that answered keeps its turn')
  log(search, 9_000, 1_000)
  search.answered(v6(1), instant(9_010))
  assert.ok(!tries(log(search, 9_020, 9_010)).some((line) => line.includes('2001')))
})

test('an endpoint that carries no data comes last, and does not end the search before its turn', () => {
  const search = searchOf(v4(1), websocket)
  search.stop()
  search.demote(v4(1))
  search.begin(instant(0))
  const [first] = tries(log(search, 100))
  assert.equal(first, '0 try websocket/1')
  assert.ok(!search.accepts(v4(1)))
  assert.ok(search.accepts(websocket))
  log(search, 3_100, 101)
  assert.ok(search.accepts(v4(1)), 'its turn has come')
  search.demote(websocket)
  assert.ok(!search.accepts(websocket), 'all demoted: the last one is')
  search.forgive()
  assert.ok(search.accepts(websocket))
})

test('rests grow to 55 s with jitter, cut short by begin; ask-timestamp comes after a minute', () => {
  const lines = log(searchOf(v4(1)), 600_000)
  const rests = lines.filter((line) => line.endsWith('rest'))
  assert.ok(rests.length > 5)
  assert.equal(
    lines.find((line) => line.endsWith('ask-timestamp')),
    '60000 ask-timestamp',
  )
  const starts = tries(lines).map((line) => Number(line.split(' ')[0]))
  const gaps = starts.map((at, i) => at - (starts[i - 1] ?? 0))
  assert.ok(Math.max(...gaps) <= 8_000 + 55_000)
})

/** A broker at four places, and what of them works. */
function reachable(seed: number, works: (to: Endpoint) => boolean) {
  const world = new World(seed)
  const broker = new VirtualBroker(world, brokerAt)
  broker.alsoAt(otherBrokerAt, websocket)
  const agent = new VirtualAgent(world, { address: '192.0.2.1', port: 40_001 }, seed + 5)
  broker.known.set(toHex(agent.key.publicKey), undefined)
  world.filter = (_, from, to) => works(from) && works(to)
  agent.core.configure(configFor(broker), [brokerAt, otherBrokerAt, websocket])
  return { world, broker, agent }
}

test('F-11 a broken IPv4 or IPv6 costs less than 2 s', () => {
  for (let seed = 1; seed <= 50; seed++)
    for (const broken of [brokerAt, otherBrokerAt]) {
      const { world, agent } = reachable(seed, (place) => place.address !== broken.address)
      const from = world.now()
      assert.ok(world.run(2_000, () => agent.isUp))
      assert.equal(agent.core.path?.carrier, 'udp')
      assert.ok(world.now() - from < 1_000)
    }
})

test('UDP blocked at the start: up over the WebSocket within 5 s; mid-session within 10 s', (t) => {
  const [cold, warm]: [number[], number[]] = [[], []]
  for (let seed = 1; seed <= 100; seed++) {
    const { world, agent } = reachable(seed, isCarriedWay)
    const from = world.now()
    assert.ok(world.run(5_000, () => agent.isUp))
    assert.equal(agent.core.path?.carrier, 'websocket')
    cold.push(world.now() - from)
  }
  for (let seed = 1; seed <= 100; seed++) {
    const { world, agent, broker } = reachable(seed, () => true)
    assert.ok(world.run(5_000, () => agent.isUp))
    world.run(seed * 777)
    const udp = agent.core.netstack.bindUdp({ port: 9 }, () => {})
    world.filter = (_, from, to) => isCarriedWay(from) && isCarriedWay(to)
    const from = world.now()
    let isThere = false
    broker.netstack.bindUdp({ port: 9 }, () => (isThere = true))
    while (!isThere && world.now() - from < 30_000) {
      udp.send(new Uint8Array(50), 'fd00:adad::1', 9)
      world.run(200, () => isThere)
    }
    warm.push(world.now() - from)
    world.run(500)
    assert.equal(agent.core.path?.carrier, 'websocket')
  }
  t.diagnostic(`cold: n 100, max ${Math.max(...cold)} ms; mid-session: n 100, max ${Math.max(...warm)} ms, seeds 1..100`)
  assert.ok(Math.max(...cold) <= 5_000 && Math.max(...warm) <= 10_000)
})

const isCarriedWay = (place: Endpoint): boolean => isCarried(place)

test('F-11 Wi-Fi to LTE, IPv4 to IPv6: told of a change, it is back within 2 s, and a stream lives on', () => {
  const { world, agent, broker } = reachable(3, () => true)
  assert.ok(world.run(5_000, () => agent.isUp))
  world.run(10_000)
  let heard = 0
  broker.netstack.bindUdp({ port: 9 }, () => heard++)
  const udp = agent.core.netstack.bindUdp({ port: 9 }, () => {})
  world.filter = (_, from, to) => to.address.includes(':') && from.address.includes(':')
  world.move(agent, { address: '2001:db8:99::1', port: 40_001 })
  agent.core.networkChanged()
  const from = world.now()
  while (heard === 0 && world.now() - from < 5_000) {
    udp.send(new Uint8Array(50), 'fd00:adad::1', 9)
    world.run(50, () => heard > 0)
  }
  assert.ok(world.now() - from <= 2_000, `${world.now() - from} ms`)
  world.run(500)
  assert.equal(agent.count('connecting'), 1)
  assert.equal(agent.core.path?.endpoint.address, otherBrokerAt.address)
})
