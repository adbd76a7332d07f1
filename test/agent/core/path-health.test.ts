import assert from 'node:assert/strict'
import test from 'node:test'
import type { PathState } from '#agent/core/path-health.ts'
import { carriedBy, isCarried } from '#shared/wire/endpoint.ts'
import { brokerAt, pair, type VirtualAgent, type World } from '#test/agent/core/virtual-world.ts'

const isData = (bytes: Uint8Array): boolean => bytes[0] === 4 && bytes.length >= 32
const isFull = (bytes: Uint8Array): boolean => isData(bytes) && bytes.length > 1_000
const isFromBroker = (from: { port: number }): boolean => from.port === brokerAt.port

interface Fault {
  state: PathState
  filter: World['filter']
}

const faults: Record<string, Fault> = {
  'control passes, data does not': { state: 'control-only', filter: (bytes) => !isData(bytes) },
  'nothing passes': { state: 'down', filter: () => false },
  'only small packets pass': { state: 'small-packets-only', filter: (bytes) => bytes.length < 400 },
  'the broker is heard and does not hear us': {
    state: 'one-way',
    filter: (bytes, from) => isFromBroker(from) || !isData(bytes),
  },
}

/** Runs `ms` with the broker sending now and then; when the health was first told to be `state`. */
function until(all: ReturnType<typeof pair>, state: PathState, ms: number, talk: () => void): number | undefined {
  const { world, agent } = all
  const from = world.now()
  while (world.now() - from < ms) {
    talk()
    if (world.run(250, () => agent.core.health.state === state)) return world.now() - from
  }
  return undefined
}

for (const [name, { state, filter }] of Object.entries(faults))
  for (const how of ['watched', 'under traffic'] as const)
    test(`F-30 ${name}: ${state}, said within 15 s ${how}, and taken back within 15 s`, () => {
      for (let seed = 1; seed <= 10; seed++) {
        const all = pair(seed)
        const { world, agent, broker } = all
        assert.ok(world.run(2_000, () => agent.isUp))
        const near = agent.core.netstack.bindUdp({ port: 9 }, () => {})
        const far = broker.netstack.bindUdp({ port: 9 }, () => {})
        const size = state === 'small-packets-only' ? 1_000 : 40
        const talk = (): void => {
          if (how === 'under traffic') near.send(new Uint8Array(size), 'fd00:adad::1', 9)
          if (how === 'under traffic' || state === 'one-way') far.send(new Uint8Array(40), 'fd00:adad::99', 9)
        }
        until(all, 'down', 3_000 + seed * 313, talk)
        assert.equal(agent.core.health.state, 'up')
        if (how === 'watched') agent.core.watch(true)
        world.filter = filter
        const took = until(all, state, 15_000, talk)
        assert.ok(took !== undefined, `seed ${seed}: ${JSON.stringify(agent.core.health)}`)
        assert.ok(world.now() - agent.core.health.evidenceAt! <= 15_000)
        world.filter = () => true
        assert.ok(until(all, 'up', 15_000, talk) !== undefined, `seed ${seed}: ${JSON.stringify(agent.core.health)}`)
      }
    })

test('a fault that stays is kept in sight: the state is not taken back while it lasts, and other ways are tried', () => {
  const all = pair(4)
  const { world, agent, broker } = all
  const websocket = carriedBy('websocket', 1)
  broker.alsoAt(websocket)
  agent.core.setEndpoints([brokerAt, websocket])
  assert.ok(world.run(2_000, () => agent.isUp))
  agent.core.watch(true)
  world.filter = (bytes, from, to) => (isCarried(from) && isCarried(to)) || !isData(bytes)
  assert.ok(world.run(20_000, () => agent.core.path?.carrier === 'websocket'))
  assert.ok(world.run(5_000, () => agent.core.health.state === 'up'))
  assert.ok(agent.rebinds >= 1)
  world.run(400_000)
  assert.equal(agent.core.path?.carrier, 'websocket', 'UDP would carry control only')
})

test('an idle path is judged within six keepalives', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const all = pair(seed)
    const { world, agent } = all
    assert.ok(world.run(2_000, () => agent.isUp))
    world.run(30_000 + seed * 1_000)
    world.filter = () => false
    const took = until(all, 'down', 200_000, () => {})
    assert.ok(took !== undefined && took <= 6 * 27_500 + 8_000, `${took}`)
  }
})

test('without a reason nothing is probed', () => {
  const { world, agent } = pair(6)
  assert.ok(world.run(2_000, () => agent.isUp))
  world.run(30_000)
  agent.sent.length = 0
  world.run(3_600_000)
  assert.ok(!agent.sent.some(({ bytes }) => isData(bytes)))
})

test('repairs go on for ever, jittered, and never faster than is good', () => {
  const { world, agent } = pair(8)
  assert.ok(world.run(2_000, () => agent.isUp))
  world.filter = () => false
  agent.core.watch(true)
  world.run(600_000)
  const { rebinds } = agent as VirtualAgent
  assert.ok(rebinds >= 1 && rebinds < 10, `${rebinds}`)
  agent.sent.length = 0
  world.run(600_000)
  assert.ok(agent.sent.length > 10 && agent.sent.length < 700, `${agent.sent.length} datagrams in ten minutes`)
  assert.ok(!agent.sent.some(({ bytes }) => isFull(bytes)))
})

test('metered: no full-size packet is sent for its own sake, on a new way, under large data or watched; vanishing ones are found all the same', () => {
  const all = pair(9)
  const { world, agent } = all
  agent.core.setDataMode('metered')
  assert.ok(world.run(2_000, () => agent.isUp))
  agent.core.watch(true)
  const near = agent.core.netstack.bindUdp({ port: 9 }, () => {})
  const far = all.broker.netstack.bindUdp({ port: 9 }, () => far.send(new Uint8Array(1), 'fd00:adad::99', 9))
  let own = 0
  const talk = (): void => {
    near.send(new Uint8Array(700), 'fd00:adad::1', 9)
    own++
  }
  until(all, 'down', 30_000, talk)
  assert.equal(agent.core.health.state, 'up')
  assert.ok(own > 100 && agent.sent.some(({ bytes }) => bytes.length > 700))
  assert.ok(!agent.sent.some(({ bytes }) => isFull(bytes)))
  agent.core.setDataMode('normal')
  until(all, 'down', 10_000, talk)
  assert.ok(agent.sent.some(({ bytes }) => isFull(bytes)))
  agent.core.setDataMode('metered')
  world.filter = (bytes) => bytes.length < 400
  assert.ok(until(all, 'small-packets-only', 15_000, talk) !== undefined)
})
