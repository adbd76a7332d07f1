import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { after, seconds } from '#shared/time/instant.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { classify } from '#shared/wire/demux.ts'
import {
  agentAt,
  brokerAt,
  configFor,
  nanoseconds,
  otherBrokerAt,
  pair,
  turns,
  VirtualAgent,
  VirtualBroker,
  World,
} from '#test/agent/core/virtual-world.ts'

const isKeepalive = (bytes: Uint8Array): boolean => bytes.length === 1 && bytes[0] === 0xff

test('starts, finds the broker, and is up one round trip later', () => {
  const { world, agent, broker } = pair()
  assert.equal(agent.core.state, 'connecting')
  assert.ok(world.run(200, () => agent.isUp))
  assert.equal(agent.count('up'), 1)
  world.run(100)
  // The responder has had a packet in the session, so it may use it too.
  assert.equal(broker.association(agent)?.state, 'established')
})

test('carries TCP both ways', () => {
  const { world, agent, broker } = pair()
  let got = ''
  broker.netstack.listen({ port: 1883 }, (socket) =>
    socket.on('error', () => {}).on('data', (chunk) => socket.end(`echo ${chunk}`)),
  )
  world.run(200, () => agent.isUp)
  const socket = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 })
  socket.on('data', (chunk) => {
    got += chunk
  })
  socket.write('hello')
  // Streams move in real microtasks, packets in virtual time: turn and turn about.
  return (async () => {
    for (let i = 0; i < 100 && got === ''; i++) {
      world.run(20)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(got, 'echo hello')
    socket.on('error', () => {})
    agent.core.stop()
    broker.netstack.destroy()
  })()
})

test('P-04 an idle agent holds its mapping within 25 s (a tenth of jitter), says nothing else for an hour, and stays up without a session', () => {
  const { world, agent, broker } = pair()
  world.run(200, () => agent.isUp)
  world.run(30_000)
  agent.sent.length = 0
  const from = world.now()
  world.run(3_600_000)
  assert.equal(agent.count('up'), 1)
  assert.equal(agent.count('connecting'), 1)
  const gaps = agent.sent.map(({ at }, i) => at - (agent.sent[i - 1]?.at ?? from))
  assert.ok(Math.max(...gaps) <= 27_500, `a silence of ${Math.max(...gaps)} ms`)
  assert.ok(agent.sent.some(({ bytes }) => isKeepalive(bytes)))
  const authentic = agent.sent.filter(({ bytes }) => bytes[0] === 1 || bytes[0] === 4)
  assert.deepEqual(authentic, [], 'neither presence nor rekeys')
  assert.equal(agent.core.association?.state, 'idle')
  assert.equal(broker.association(agent)?.state, 'idle')
  assert.equal(agent.core.health.state, 'up')
  assert.ok(world.now() - agent.core.health.evidenceAt! <= 6 * 27_500, 'binding answers are evidence')
})

for (const side of ['agent', 'broker'] as const)
  test(`D7 a stream survives that its session lapses, and what the ${side} says next re-makes the session`, async () => {
    const { world, agent, broker } = pair()
    const accepted: TcpSocket[] = []
    const errors: Error[] = []
    broker.netstack.listen({ port: 1883 }, (socket) => accepted.push(socket.on('error', (error) => errors.push(error))))
    world.run(200, () => agent.isUp)
    const socket = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 }).on('error', (error) => errors.push(error))
    let heard = ''
    world.run(500, () => accepted.length > 0)
    const [talker, listener] = side === 'agent' ? [socket, accepted[0]!] : [accepted[0]!, socket]
    listener.on('data', (chunk) => (heard += chunk))
    world.run(900_000)
    assert.equal(agent.core.association?.state, 'idle')
    assert.equal(broker.association(agent)?.state, 'idle')
    talker.write('after a quarter of an hour')
    await turns(world, 400, () => heard !== '')
    assert.equal(heard, 'after a quarter of an hour')
    assert.deepEqual(errors, [])
    assert.equal(agent.count('connecting'), 1)
    agent.core.stop()
    broker.netstack.destroy()
  })

test('P-08 first contact under 30 % loss each way', () => {
  const times: number[] = []
  for (let seed = 1; seed <= 200; seed++) {
    const { world, agent } = pair(seed)
    world.loss = 0.3
    const from = world.now()
    assert.ok(
      world.run(60_000, () => agent.isUp),
      `seed ${seed}`,
    )
    times.push(world.now() - from)
  }
  times.sort((a, b) => a - b)
  assert.ok(times[100]! <= 1_500, `p50 ${times[100]} ms`)
  assert.ok(times[198]! <= 8_000, `p99 ${times[198]} ms`)
  assert.ok(times[199]! <= 30_000, `max ${times[199]} ms`)
})

test('P-07 never gives up: a broker that is away for a day is found again, and rests stay within 60 s', () => {
  const { world, agent, broker } = pair()
  world.run(200, () => agent.isUp)
  world.remove(brokerAt)
  assert.ok(
    world.run(400_000, () => agent.core.state === 'connecting'),
    'a lost broker is noticed',
  )
  world.run(86_400_000)
  agent.sent.length = 0
  world.run(600_000)
  const gaps = agent.sent.map(({ at }, i) => at - (agent.sent[i - 1]?.at ?? at))
  assert.ok(agent.sent.length > 10)
  assert.ok(Math.max(...gaps) <= 61_000, `silent for ${Math.max(...gaps)} ms`)
  // Back with its memory of timestamps and without any session: as after kill -9.
  const again = new VirtualBroker(world, brokerAt, broker.key, broker.known)
  assert.ok(world.run(65_000, () => agent.isUp))
  assert.equal(again.association(agent)?.peerKey, toHex(agent.key.publicKey))
})

test('P-07 a block of 13 s costs no session', () => {
  const { world, agent } = pair()
  world.run(200, () => agent.isUp)
  for (let i = 0; i < 20; i++) {
    world.filter = () => false
    world.run(13_000)
    world.filter = () => true
    world.run(17_000)
    assert.ok(agent.isUp)
  }
  assert.equal(agent.count('up'), 1)
})

test('a broker that restarts and calls is welcomed at once', () => {
  const { world, agent, broker } = pair()
  world.run(200, () => agent.isUp)
  world.remove(brokerAt)
  world.run(600_000)
  assert.equal(agent.core.state, 'connecting')
  const again = new VirtualBroker(world, brokerAt, broker.key, broker.known)
  const association = again.endpoint.addPeer({ publicKey: agent.key.publicKey, endpoint: agent.at }, world.now())
  again.endpoint.initiate(association, world.now())
  assert.ok(world.run(1_000, () => agent.isUp))
})

/** A pair with a stream between them; `fault`: what has ended it. */
function pairWithStream() {
  const { world, agent, broker } = pair()
  broker.netstack.listen({ port: 1883 }, (socket) => socket.on('error', () => {}))
  world.run(200, () => agent.isUp)
  const socket = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 })
  let code: string | undefined
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code
  })
  world.run(200, () => !socket.connecting)
  return { world, agent, broker, fault: () => code }
}

for (const lost of ['nothing', 'the question to the stream', 'its answer'])
  test(`a stream that the broker lost with its memory fails when it calls, and not when it needs to be written; ${lost} is lost`, async () => {
    const { world, agent, broker, fault } = pairWithStream()
    world.remove(brokerAt)
    const again = new VirtualBroker(world, brokerAt, broker.key, broker.known)
    again.netstack.listen({ port: 1883 }, (fresh) => fresh.on('error', () => {}))
    const association = again.endpoint.addPeer({ publicKey: agent.key.publicKey, endpoint: agentAt }, world.now())
    again.endpoint.initiate(association, world.now())
    const until = after(world.now(), seconds(1))
    let dropped = 0
    world.filter = (datagram, { address }) => {
      // What has content: the handshake and the word that confirms it pass.
      const isMeant = lost !== 'nothing' && classify(datagram) === 'wireguard-data' && datagram.length > 32
      const isOurs = address === agentAt.address
      if (!isMeant || isOurs !== (lost === 'the question to the stream') || world.now() > until) return true
      dropped += 1
      return false
    }
    for (let i = 0; i < 200 && fault() === undefined; i++) {
      world.run(20)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(fault(), 'ECONNRESET')
    assert.equal(dropped > 0, lost !== 'nothing')
    assert.equal(agent.count('up'), 1)
  })

for (const why of ['somebody looks at its path', 'its network has changed'] as const)
  test(`a stream that the broker lost with its memory fails where the agent asked first, since ${why}`, async () => {
    const { world, agent, broker, fault } = pairWithStream()
    world.run(3_000)
    world.remove(brokerAt)
    if (why === 'somebody looks at its path') agent.core.watch(true)
    // Long enough for a verdict, and for an initiation that nothing answers.
    world.run(8_000)
    const again = new VirtualBroker(world, brokerAt, broker.key, broker.known)
    again.netstack.listen({ port: 1883 }, (fresh) => fresh.on('error', () => {}))
    if (why === 'its network has changed') agent.core.networkChanged()
    assert.ok(
      world.run(6_000, () => again.association(agent)?.session?.initiator === false),
      'the agent has made the session',
    )
    await turns(world, 5_000, () => fault() !== undefined)
    assert.equal(fault(), 'ECONNRESET')
    assert.equal(agent.count('up'), 1)
    agent.core.stop()
    again.netstack.destroy()
  })

test('a stream that was heard in the new session is not asked whether it is known', async () => {
  const { world, agent, broker } = pair()
  const accepted: TcpSocket[] = []
  broker.netstack.listen({ port: 1883 }, (socket) => accepted.push(socket.on('error', () => {})))
  world.run(200, () => agent.isUp)
  const socket = agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 }).on('error', () => {})
  world.run(500, () => accepted.length > 0)
  const handshakes = () => agent.core.association?.counters.handshakes
  const renewed = async (talks: boolean): Promise<number> => {
    const before = handshakes()!
    world.run(600_000)
    agent.core.networkChanged()
    world.run(200, () => handshakes() === before + 1)
    if (talks) socket.write('x')
    await turns(world, 1_500, () => false)
    const packets = agent.core.association!.counters.innerSent
    await turns(world, 10_000, () => false)
    return agent.core.association!.counters.innerSent - packets
  }
  assert.equal(await renewed(true), 0)
  assert.equal(await renewed(false), 72, 'one segment without content')
  agent.core.stop()
  broker.netstack.destroy()
})

test('endpoints are tried in turn, the last good one first', () => {
  const world = new World()
  const broker = new VirtualBroker(world, otherBrokerAt)
  const agent = new VirtualAgent(world, agentAt)
  broker.known.set(toHex(agent.key.publicKey), undefined)
  agent.core.configure(configFor(broker), [brokerAt, otherBrokerAt])
  assert.ok(
    world.run(10_000, () => agent.isUp),
    'the second endpoint serves',
  )
  const restarted = new VirtualAgent(world, agentAt, 5, agent.key)
  restarted.timestamps.raise(agent.timestamps.last)
  restarted.core.configure(configFor(broker), [brokerAt, otherBrokerAt], otherBrokerAt)
  assert.ok(
    world.run(200, () => restarted.isUp),
    'the preferred endpoint is first',
  )
})

test('F-05 a clock in 1970 asks for the last timestamp after a minute, and is up above it', () => {
  const world = new World(3, 0)
  const broker = new VirtualBroker(world, brokerAt)
  const agent = new VirtualAgent(world, agentAt)
  const remembered = tai64n(1_780_000_000n * 1_000_000_000n)
  broker.known.set(toHex(agent.key.publicKey), remembered)
  agent.core.configure(configFor(broker), [brokerAt])
  assert.equal(
    world.run(59_000, () => agent.isUp),
    false,
    'stale timestamps get silence',
  )
  assert.ok(world.run(3_000, () => agent.count('ask-timestamp') === 1))
  agent.timestamps.raise(remembered)
  agent.core.nudge()
  assert.ok(world.run(10_000, () => agent.isUp))
  assert.ok(nanoseconds(agent.timestamps.last) > nanoseconds(remembered))
})

test('a mapping that moved is told to the broker at once', () => {
  const { world, agent, broker } = pair()
  world.run(300, () => agent.isUp)
  world.run(1_000)
  const moved = { address: agentAt.address, port: 50_123 }
  world.remove(agentAt)
  agent.at = moved
  world.add(moved, agent)
  assert.ok(world.run(180_000, () => broker.association(agent)?.endpoint?.port === 50_123))
  assert.equal(agent.count('connecting'), 1)
})

test('P-30 an inner packet from outside the fleet is dropped and counted', () => {
  const { world, agent, broker } = pair()
  world.run(300, () => agent.isUp)
  world.run(100)
  const spoofed = new Uint8Array(60)
  spoofed[0] = 0x45
  spoofed[3] = 60
  spoofed.set([8, 8, 8, 8], 12)
  spoofed.set([100, 64, 0, 9], 16)
  const out = new Uint8Array(200)
  const association = broker.association(agent)!
  const length = association.seal(spoofed, spoofed.length, out, world.now())
  world.send(out.subarray(0, length), brokerAt, agentAt)
  world.run(100)
  assert.equal(agent.core.counters.of(DropReason.InnerSourceRefused), 1)
})

test('A-02 strangers, keepalives and garbage change nothing and are answered by nothing', () => {
  const { world, agent } = pair()
  world.run(300, () => agent.isUp)
  world.run(100)
  agent.sent.length = 0
  const stranger = { address: '203.0.113.7', port: 7 }
  for (const bytes of [[0xff], [], [1, 0, 0, 0], [4, 0, 0, 0], [0x80, 1, 2, 3]]) agent.receive(Uint8Array.from(bytes), stranger)
  for (const [type, size] of [
    [1, 148],
    [2, 92],
    [3, 64],
    [4, 96],
  ] as const) {
    const datagram = new Uint8Array(size)
    datagram[0] = type
    agent.receive(datagram, stranger)
  }
  assert.equal(agent.sent.length, 0)
  assert.ok(agent.isUp)
})

test('a changed broker key makes a new association; a changed address list does not', () => {
  const { world, agent, broker } = pair()
  world.run(300, () => agent.isUp)
  agent.core.configure(configFor(broker, { keepaliveSeconds: 50 }), [brokerAt, otherBrokerAt])
  assert.ok(agent.isUp)
  const other = new VirtualBroker(world, otherBrokerAt)
  other.known.set(toHex(agent.key.publicKey), undefined)
  agent.core.configure(configFor(other), [otherBrokerAt])
  assert.equal(agent.core.state, 'connecting')
  assert.ok(world.run(500, () => agent.isUp))
})

test('stopped, it says nothing more', () => {
  const { world, agent } = pair()
  world.run(300, () => agent.isUp)
  agent.core.stop()
  agent.sent.length = 0
  world.run(300_000)
  assert.equal(agent.sent.length, 0)
  assert.equal(agent.core.state, 'down')
  assert.equal(agent.core.deadline(), undefined)
})
