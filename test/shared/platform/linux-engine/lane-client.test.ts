import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abis } from '#shared/platform/linux-engine/abi.ts'
import { KEY_BLOCK } from '#shared/platform/linux-engine/key-block.ts'
import { LaneBoard } from '#shared/platform/linux-engine/lane-board.ts'
import { LaneClient, type LaneEvents } from '#shared/platform/linux-engine/lane-client.ts'
import { LaneKeys } from '#shared/platform/linux-engine/lane-keys.ts'
import { type FlowPass, type FromLane, nothingYet as nothing, type ToLane } from '#shared/platform/linux-engine/lane-messages.ts'
import { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import type { Log } from '#shared/platform/log.ts'
import { type Duration, type Instant, instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import type { LaneSession } from '#shared/tunnel/data-lane.ts'

const BASE = 0x7000_0000
/** Of the lane that its number's parity says, where there are two. */
const association = (id: number) => ({ id, suite: 'noise', peerKey: String(id) }) as Association
const to = { address: '192.0.2.1', port: 5 }

function clientOf(sessions = 4, begins = true, lanes = 1) {
  const memory = new NativeMemory(KEY_BLOCK.length * sessions, abis.x64!, () => BASE)
  const board = new LaneBoard({ sessions, flows: 4, lanes })
  const threads: { posted: ToLane[]; take(news: FromLane): void; fail(error: unknown): void }[] = []
  const timers: { delay: number; call: () => void }[] = []
  const errors: unknown[] = []
  const told: unknown[] = []
  let now = 0
  const client = new LaneClient({
    board,
    keys: new LaneKeys(memory),
    clock: { now: () => instant(now), wall: () => 0 as never },
    timers: {
      setTimer: (delay: Duration, call: () => void) => {
        timers.push({ delay, call })
        return { clear: () => void timers.splice(0) }
      },
    },
    log: { error: (fields: object) => errors.push(fields) } as unknown as Log,
    starts: Array.from({ length: lanes }, (_, lane) => ({
      ...{ lane, board: board.buffer, size: board.size },
      ...{ udp4: 3, udp6: 4, tun: -1, tunUdp: false, wake: 5, epoch: 0 },
    })),
    spawn(start, take, fail) {
      const posted: ToLane[] = []
      assert.equal(start.board, board.buffer)
      threads.push({ posted, take, fail })
      return { post: (message) => void posted.push(message), end: () => Promise.resolve() }
    },
  })
  const events: LaneEvents = {
    datagram: (datagram) => told.push(['datagram', datagram[0]]),
    heard: ({ local }) => told.push(['heard', local]),
    sent: ({ local }) => told.push(['sent', local]),
    packet: (packet, suite, local) => told.push(['packet', packet[0], suite, local]),
    fromTun: (packet) => told.push(['fromTun', packet[0]]),
    carried: (datagram, at) => told.push(['carried', datagram[0], at.address]),
    settled: () => told.push('settled'),
  }
  if (begins) client.begin(events)
  const elapse = (ms: number): void => {
    now += ms
  }
  return { client, memory, board, threads, timers, errors, told, events, elapse }
}

function session(local: number, more: Partial<LaneSession> = {}): LaneSession {
  return {
    ...{ association: association(1), suite: 'noise', local, remote: local + 1_000, algorithm: 'chacha20-poly1305' },
    ...{ sendKey: new Uint8Array(32).fill(local), receiveKey: new Uint8Array(32).fill(local + 1) },
    ...{ sendSalt: new Uint8Array(4), receiveSalt: new Uint8Array(4), firstNumber: 0, esn: false, innerMtu: 1_280 },
    ...{ expiresAt: 180_000 as Instant, otherTraffic: false },
    ...more,
  } as LaneSession
}

const flow = (slot: number, from: number, target: number): FlowPass => ({
  ...{ version: 4, protocol: 17, source: [1], destination: [2], ports: 3, isReply: false, until: 0, direction: 0 },
  ...{ from, to: target, slot },
})

const kinds = (posted: readonly ToLane[]): string[] => posted.map(({ kind }) => kind)

test('another thread is told all that holds, sessions first, and nothing that has ended', () => {
  const { client, threads, timers, errors } = clientOf()
  client.install(session(1))
  client.install(session(2, { association: association(2) }))
  client.install(session(3, { association: association(3) }))
  client.route(association(1), 1, to)
  client.route(association(2), 2, to)
  client.route(association(3), 3, to)
  client.route(association(3), undefined, undefined)
  client.setRoom(association(1), 900)
  client.setRoom(association(2), 900)
  client.setRoom(association(2), Number.POSITIVE_INFINITY)
  client.pass([flow(0, 1, 2)])
  client.pass([flow(1, 2, 1)])
  client.forget(1)
  client.setSockets([{ v4: 7, v6: 8 }])
  client.release(2, 'noise')
  threads[0]!.fail(new Error('it broke'))
  threads[0]!.fail(new Error('it broke'))
  assert.equal(errors.length, 1)
  assert.equal(threads.length, 1)
  // While there is none, what is said is not lost either.
  client.install(session(4, { association: association(4) }))
  client.pass([flow(2, 1, 4)])
  timers[0]!.call()
  const { posted } = threads[1]!
  assert.deepEqual(kinds(posted), ['install', 'install', 'install', 'route', 'room', 'pass', 'pass'])
  assert.deepEqual(
    posted.flatMap((message) => (message.kind === 'install' ? [message.local] : [])),
    [1, 3, 4],
  )
  assert.deepEqual(
    posted.flatMap((message) => (message.kind === 'pass' ? message.flows.map(({ slot }) => slot) : [])),
    [0, 2],
  )
  assert.equal(client.restarts, 1)
  client.route(association(1), 1, to)
  assert.equal(kinds(posted).at(-1), 'route')
  assert.equal(client.installed, 3)
})

test('A-25 numbers go on where they were, whoever took them; a slot is not given to another session before the lane has let go', () => {
  const { client, threads, timers, board } = clientOf(1)
  const numbers = client.install(session(1))!
  assert.deepEqual([numbers.take(), numbers.take(), numbers.take(2)], [0, 1, 2])
  board.setHighest(0, 0, 77)
  threads[0]!.fail(undefined)
  timers[0]!.call()
  assert.equal(numbers.take(), 4)
  assert.deepEqual(board.highest(0), { high: 0, low: 77 })
  client.release(1, 'noise')
  assert.equal(client.install(session(2)), undefined, 'the lane may still use the slot')
  const released = threads[1]!.posted.at(-1)!
  assert.equal(released.kind, 'release')
  threads[1]!.take({ ...nothing, unread: [released.kind === 'release' ? released.keys : 0] })
  const others = client.install(session(2, { firstNumber: 1 }))!
  assert.equal(others.take(), 1)
  assert.deepEqual(board.highest(0), { high: -1, low: 0 })
})

test('keys are kept once, and wiped when the lane reads them no more, or is gone', async () => {
  const { client, threads, timers, memory } = clientOf()
  const blocks = (): number[] => {
    const counts: number[] = []
    for (let at = 0; at + KEY_BLOCK.length <= 4 * KEY_BLOCK.length; at += KEY_BLOCK.length)
      counts.push(memory.bytes.subarray(at, at + KEY_BLOCK.length).filter((byte) => byte !== 0).length)
    return counts
  }
  const given = session(10)
  client.install(given)
  given.sendKey.fill(0)
  client.install(session(20, { algorithm: 'aes-256-gcm', suite: 'esp', sendSalt: Uint8Array.of(1, 2, 3, 4) }))
  assert.deepEqual(blocks(), [64, 68, 0, 0])
  const install = threads[0]!.posted[0]!
  assert.ok(install.kind === 'install' && install.keys === BASE)
  assert.equal(memory.bytes[KEY_BLOCK.send], 10)
  assert.equal(memory.bytes[KEY_BLOCK.receive], 11)
  client.release(10, 'noise')
  client.release(10, 'noise')
  assert.deepEqual(blocks(), [64, 68, 0, 0], 'the lane may not have read them yet')
  threads[0]!.take({ ...nothing, unread: [BASE, BASE] })
  assert.deepEqual(blocks(), [0, 68, 0, 0])
  client.release(20, 'esp')
  threads[0]!.fail(undefined)
  timers[0]!.call()
  assert.deepEqual(blocks(), [0, 0, 0, 0], 'who would have read them is no more')
  client.install(session(30))
  await client.close()
  assert.deepEqual(blocks(), [0, 0, 0, 0])
})

test('where there is no room for a session the lane does not take it, and takes the next one that has', () => {
  const { client, threads } = clientOf(2)
  assert.ok(client.install(session(1)))
  assert.ok(client.install(session(2)))
  assert.equal(client.install(session(3)), undefined)
  assert.equal(client.installed, 2)
  client.release(1, 'noise')
  threads[0]!.take({ ...nothing, unread: [BASE] })
  assert.ok(client.install(session(3)))
})

test('a path that is small stays so in the next session of its association', () => {
  const { client, threads } = clientOf()
  client.install(session(1))
  client.setRoom(association(1), 900)
  client.release(1, 'noise')
  client.install(session(2))
  const last = threads[0]!.posted.at(-1)!
  assert.ok(last.kind === 'room' && last.bytes === 900, last.kind)
})

test('other selectors: what was let pass for that association is asked about anew', () => {
  const { client, threads } = clientOf()
  client.pass([flow(0, 1, 2)])
  client.pass([flow(1, 2, 1)])
  client.pass([flow(2, 2, 3)])
  client.install(session(1, { otherTraffic: true }))
  const forgotten = threads[0]!.posted.flatMap((message) => (message.kind === 'forget' ? [message.slot] : []))
  assert.deepEqual(forgotten, [0, 1])
})

/* ── Two lanes ── */

const installs = (posted: readonly ToLane[]) =>
  posted.flatMap((message) => (message.kind === 'install' ? [[message.local, message.opens]] : []))

test('of two lanes one opens a session, and both may seal with it; numbers say which, and endpoints are told', () => {
  const { client, threads } = clientOf(4, true, 2)
  assert.deepEqual([client.lanes, threads.length], [2, 2])
  client.install(session(6, { association: association(2) }))
  client.install(session(7, { association: association(1) }))
  client.route(association(1), 7, to)
  client.setRoom(association(1), 900)
  const [even, odd] = threads.map(({ posted }) => posted)
  assert.deepEqual(installs(even!), [
    [6, true],
    [7, false],
  ])
  assert.deepEqual(installs(odd!), [
    [6, false],
    [7, true],
  ])
  for (const posted of [even!, odd!]) assert.deepEqual(kinds(posted).slice(2), ['route', 'room'])
  assert.deepEqual([client.suits(6, '2'), client.suits(7, '2'), client.suits(0xffff_ff01, '1')], [true, false, true])
  const datagram = new Uint8Array(32)
  datagram.set([4, 0, 0, 0, 7])
  client.receive(datagram, to)
  assert.deepEqual([kinds(even!).at(-1), kinds(odd!).at(-1)], ['room', 'datagram'])
})

test('a direction of a flow is told to the lane that meets it, what a TUN may bring to all, and forgotten where it was told', () => {
  const { client, threads } = clientOf(4, true, 2)
  const [even, odd] = threads.map(({ posted }) => posted)
  const there = { ...flow(0, 1, 2), lane: client.laneOf(association(1)) }
  const back = { ...flow(0, 2, 1), direction: 1 as const, lane: client.laneOf(association(2)) }
  client.pass([there, back])
  client.pass([flow(1, 0, 2)])
  client.pass([{ ...flow(2, 1, 3), lane: 1 }])
  const passed = (posted: readonly ToLane[]) =>
    posted.flatMap((message) => (message.kind === 'pass' ? message.flows.map(({ slot, from }) => [slot, from]) : []))
  assert.deepEqual(passed(even!), [
    [0, 2],
    [1, 0],
  ])
  assert.deepEqual(passed(odd!), [
    [0, 1],
    [1, 0],
    [2, 1],
  ])
  for (const slot of [0, 1, 2, 2]) client.forget(slot)
  const forgotten = (posted: readonly ToLane[]) => posted.flatMap((message) => (message.kind === 'forget' ? [message.slot] : []))
  assert.deepEqual(
    [forgotten(even!), forgotten(odd!)],
    [
      [0, 1],
      [0, 1, 2],
    ],
  )
})

test('keys and slot of a session are free when every lane has let go, or is gone', () => {
  const { client, threads, timers, memory } = clientOf(1, true, 2)
  const isWiped = (): boolean => memory.bytes.subarray(0, KEY_BLOCK.length).every((byte) => byte === 0)
  client.install(session(1))
  client.release(1, 'noise')
  threads[0]!.take({ ...nothing, unread: [BASE, BASE] })
  assert.deepEqual([isWiped(), client.install(session(2))], [false, undefined], 'the other one may still seal with it')
  threads[1]!.take({ ...nothing, unread: [BASE] })
  assert.ok(isWiped())
  assert.ok(client.install(session(2)))
  client.release(2, 'noise')
  threads[1]!.fail(undefined)
  timers[0]!.call()
  assert.equal(isWiped(), false)
  threads[0]!.take({ ...nothing, unread: [BASE] })
  assert.ok(isWiped())
})

test('a fault of one lane is its own: another thread follows there, and is told what that lane must know', () => {
  const { client, threads, timers, errors } = clientOf(4, true, 2)
  client.install(session(6, { association: association(2) }))
  client.install(session(7, { association: association(1) }))
  client.route(association(2), 6, to)
  client.pass([{ ...flow(0, 1, 2), lane: 1 }])
  client.pass([{ ...flow(1, 2, 1), lane: 0 }])
  threads[1]!.fail(new Error('it broke'))
  client.route(association(1), 7, to)
  assert.deepEqual([threads.length, timers.length, kinds(threads[0]!.posted).at(-1)], [2, 1, 'route'])
  timers[0]!.call()
  assert.deepEqual([threads.length, client.restarts, errors.length], [3, 1, 1])
  assert.equal((errors[0] as { lane: number }).lane, 1)
  const { posted } = threads[2]!
  assert.deepEqual(kinds(posted), ['install', 'install', 'route', 'route', 'pass'])
  assert.deepEqual(installs(posted), [
    [6, false],
    [7, true],
  ])
})

test('every lane must stand before any is used', async () => {
  const { client, threads } = clientOf(4, false, 2)
  const proof = client.prove()
  threads[0]!.take(nothing)
  threads[1]!.fail(new Error('no such file'))
  assert.match(String(await proof), /no such file/)
})

test('faults that follow each other are waited out for longer, up to 5 s; one after a sound minute is not', () => {
  const { threads, timers, elapse } = clientOf()
  const delays: number[] = []
  for (let i = 0; i < 10; i++) {
    threads.at(-1)!.fail(undefined)
    const timer = timers.pop()!
    delays.push(timer.delay)
    timer.call()
  }
  assert.deepEqual(delays, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000])
  elapse(60_001)
  threads.at(-1)!.fail(undefined)
  assert.equal(timers.pop()!.delay, 20)
})

test('news are told in their order: what sessions did, then what came; nothing after the end', async () => {
  const { client, threads, told } = clientOf()
  const counts = { datagrams: 1, outerBytes: 1, innerPackets: 1, innerBytes: 1, largest: 1 }
  const news: FromLane = {
    news: [
      { kind: 'sent', local: 1, suite: 'noise', ...counts },
      { kind: 'heard', local: 2, suite: 'noise', from: to, newest: 1, ...counts },
    ],
    raw: [{ datagram: Uint8Array.of(3), from: to }],
    packets: [
      { packet: Uint8Array.of(4), session: { suite: 'esp', local: 9, from: to } },
      { packet: Uint8Array.of(5), session: undefined },
    ],
    carried: [{ datagram: Uint8Array.of(6), from: { address: 'websocket/1', port: 0 } }],
    unread: [],
  }
  threads[0]!.take(news)
  const expected = [
    ...[
      ['sent', 1],
      ['heard', 2],
      ['datagram', 3],
      ['packet', 4, 'esp', 9],
      ['fromTun', 5],
      ['carried', 6, 'websocket/1'],
    ],
    'settled',
  ]
  assert.deepEqual(told, expected)
  await client.close()
  threads[0]!.take(news)
  threads[0]!.fail(new Error('late'))
  assert.deepEqual(told, expected)
  assert.equal(threads.length, 1)
})

test('a first thread that begins is the one that goes on; one that cannot is told of, and not tried again', async () => {
  const sound = clientOf(4, false)
  const proof = sound.client.prove()
  sound.threads[0]!.take(nothing)
  assert.equal(await proof, undefined)
  sound.client.begin(sound.events)
  assert.equal(sound.threads.length, 1)
  sound.threads[0]!.fail(new Error('later'))
  assert.equal(sound.timers.length, 1, 'another takes over')

  const broken = clientOf(4, false)
  const refusal = broken.client.prove()
  broken.threads[0]!.fail(new Error('no such file'))
  assert.match(String(await refusal), /no such file/)
  assert.deepEqual([broken.threads.length, broken.timers.length], [1, 0])
  await broken.client.close()
})
