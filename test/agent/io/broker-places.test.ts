import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { AgentConfig } from '#agent/core/agent-config.ts'
import { BrokerPlaces } from '#agent/io/broker-places.ts'
import type { RecordKeeper } from '#agent/io/record-keeper.ts'
import type { AgentRecord } from '#agent/io/state-folder.ts'
import { Nat64 } from '#shared/platform/nat64.ts'
import type { Timers } from '#shared/platform/timers.ts'

const settle = () => new Promise((resolve) => setImmediate(resolve))

/** An agent that knows of its broker by name alone; `answer` and `refuse` are DNS, `pass` lets all timers run out. */
function places(t: TestContext, known: Partial<AgentRecord> = {}) {
  const config = { broker: { endpoints: ['broker.example.net:4500'] } } as unknown as AgentConfig
  const keeper = {
    record: { api: ['https://203.0.113.10:8443'], name: 'pi', role: 'device', config, ...known } as AgentRecord,
    remember: (change: Partial<AgentRecord>) => Object.assign(keeper.record, change),
  }
  const timers = new Set<() => void>()
  const byHand: Timers = {
    setTimer: (_delay, callback) => {
      timers.add(callback)
      return { clear: () => timers.delete(callback) }
    },
  }
  const changes: { udp: number; isAwaited: boolean }[] = []
  let [answer, refuse] = [(_found: string[]): void => {}, (_error: Error): void => {}]
  const nat64 = new Nat64({ ask: async () => [], hasWay: async () => true, hasIpv6: () => false, now: () => 0 })
  const own = new BrokerPlaces({
    ...{ keeper: keeper as unknown as RecordKeeper, timers: byHand, nat64, isUp: () => true },
    lookup: () => new Promise<string[]>((resolve, reject) => ([answer, refuse] = [resolve, reject])),
    onChange: () => changes.push({ udp: own.endpoints(config).length, isAwaited: own.isAwaited(config) }),
  })
  t.after(() => own.close())
  const pass = (): void => {
    for (const callback of [...timers]) callback()
  }
  return { own, config, changes, answer: (found: string[]) => answer(found), refuse: () => refuse(new Error('NXDOMAIN')), pass }
}

test('a name without an address is waited for: UDP has its head start at the first start too', async (t) => {
  const { own, config, changes, answer } = places(t)
  assert.equal(own.isAwaited(config), true)
  own.ask()
  answer(['203.0.113.10'])
  await settle()
  assert.deepEqual(changes, [{ udp: 1, isAwaited: false }])
  assert.equal(own.isAwaited(config), false)
})

test('a dead or an empty DNS ends the waiting, once, and what else there is has its turn', async (t) => {
  const silent = places(t)
  silent.own.ask()
  silent.pass()
  assert.deepEqual(silent.changes, [{ udp: 0, isAwaited: false }])
  silent.own.ask()
  silent.pass()
  assert.equal(silent.changes.length, 1)

  const empty = places(t)
  empty.own.ask()
  empty.refuse()
  await settle()
  assert.deepEqual(empty.changes, [{ udp: 0, isAwaited: false }])
})

test('who remembers an address waits for nobody', async (t) => {
  const { own, config, changes, refuse } = places(t, { addresses: { 'broker.example.net': ['203.0.113.10'] } })
  assert.equal(own.isAwaited(config), false)
  own.ask()
  refuse()
  await settle()
  assert.deepEqual(changes, [])
})
