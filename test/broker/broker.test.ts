import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { after, before, test } from 'node:test'
import { MqttClient } from 'mqtt'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { encodeBatch } from '#shared/telemetry/reading.ts'
import { deviceTopic } from '#shared/telemetry/topics.ts'
import { encodeBindingRequest, readBindingAnswer } from '#shared/wire/stun-binding.ts'
import { BrokerFixture, eventually } from '#test/broker/broker-fixture.ts'
import type { DeviceClient } from '#test/broker/device-client.ts'

let fixture: BrokerFixture

before(async () => {
  fixture = await BrokerFixture.start()
})
after(() => fixture.end())

const inner6 = (): string => fixture.registry.fleet.broker[0]!
const port = (): number => Number(fixture.broker.ready.listen.split(':').at(-1))

async function mqttOver(client: DeviceClient, clientId: string, will?: { topic: string }): Promise<MqttClient> {
  const socket = await client.connect(inner6(), 1883)
  const session = new MqttClient(() => socket, {
    clientId,
    keepalive: 0,
    protocolVersion: 4,
    reconnectPeriod: 0,
    ...(will && { will: { ...will, payload: Buffer.from('gone'), qos: 0, retain: false } }),
  })
  await new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve())
    session.on('error', reject)
    session.once('close', () => reject(new Error('closed')))
  })
  return session
}

const reading = (seq: number) => ({ seq, name: 'temperature', value: 20 + seq, unit: 'C', at: Date.now(), quality: 0 })

test('a reading lands on disk before its acknowledgement; a repeated one does not land twice', async () => {
  const { client, principal } = await fixture.join('device', 'lander')
  const session = await mqttOver(client, 'lander')
  const payload = Buffer.from(encodeBatch(1, [reading(1), reading(2)]))
  await session.publishAsync(deviceTopic('lander', 'readings'), payload, { qos: 1 })
  const { readings } = await fixture.registry.telemetry.query({ deviceId: principal.id })
  assert.deepEqual(
    readings.map(({ seq, value, boot }) => [seq, value, boot]),
    [
      [1, 21, 1],
      [2, 22, 1],
    ],
  )
  await session.publishAsync(deviceTopic('lander', 'readings'), payload, { qos: 1 })
  assert.equal(fixture.broker.gateway.counters().duplicateReadings, 2)
  await session.endAsync()
})

test('a batch that is none is set aside and acknowledged, so that it blocks nothing (A-64)', async () => {
  const { client, principal } = await fixture.join('device', 'poison')
  const session = await mqttOver(client, 'poison')
  await session.publishAsync(deviceTopic('poison', 'readings'), Buffer.from('no CBOR at all'), { qos: 1 })
  await session.publishAsync(deviceTopic('poison', 'readings'), Buffer.from(encodeBatch(1, [reading(1)])), { qos: 1 })
  const { readings } = await fixture.registry.telemetry.query({ deviceId: principal.id })
  assert.equal(readings.length, 1)
  const rows = await fixture.registry.audit.query({ newest: true })
  assert.ok(rows.some(({ action, subject }) => action === 'telemetry.quarantine' && subject === 'device:poison'))
})

test('host keys: the first report is pinned, another is kept aside', async () => {
  const { encodeCbor } = await import('#shared/telemetry/cbor.ts')
  const { client, principal } = await fixture.join('device', 'keyed')
  const session = await mqttOver(client, 'keyed')
  const report = (key: string) => Buffer.from(encodeCbor({ ssh: [`ssh-ed25519 ${key}`] } as never))
  await session.publishAsync(deviceTopic('keyed', 'host-keys'), report('AAAA'), { qos: 1 })
  await session.publishAsync(deviceTopic('keyed', 'host-keys'), report('BBBB'), { qos: 1 })
  const [pinned] = await fixture.registry.hostKeys.of(principal.id)
  assert.deepEqual(pinned?.keys, ['ssh-ed25519 AAAA'])
  assert.deepEqual(pinned?.offered?.keys, ['ssh-ed25519 BBBB'])
})

test('A-50 A-58 the client id is the name of the tunnel it came by', async () => {
  const { client } = await fixture.join('device', 'named')
  for (const id of ['lander', 'named/x', 'NAMED', '+', '#', '']) await assert.rejects(mqttOver(client, id), id)
  await (await mqttOver(client, 'named')).endAsync()
})

test("A-49 another device's topics, $SYS, wildcards and $share are refused", async () => {
  const { client } = await fixture.join('device', 'walled')
  const foreign = [deviceTopic('lander', 'readings'), '$SYS/x/new/clients', 'sensors/t', 'adit/d/walled', 'adit/d/walled/other']
  for (const topic of foreign) {
    const session = await mqttOver(client, 'walled')
    const closed = new Promise<void>((resolve) => session.once('close', () => resolve()))
    session.publish(topic, 'x', { qos: 1 })
    await closed
    session.end(true)
  }
  const session = await mqttOver(client, 'walled')
  const filters = [
    '#',
    '+',
    '+/d/walled/readings',
    'adit/d/+/readings',
    'adit/d/#',
    'adit/d/walled/#',
    'adit/d/lander/readings',
    '$SYS/#',
    '$share/g/adit/d/walled/x',
  ]
  for (const filter of filters) {
    const [granted] = await session.subscribeAsync(filter, { qos: 1 }).catch(() => [{ qos: 128 }])
    assert.equal(granted?.qos ?? 128, 128, filter)
  }
  const [own] = await session.subscribeAsync('adit/d/walled/commands', { qos: 1 })
  assert.equal(own?.qos, 1)
  await session.endAsync()
})

test('A-51 a will to a foreign or retained topic is refused at CONNECT', async () => {
  const { client } = await fixture.join('device', 'testator')
  await assert.rejects(mqttOver(client, 'testator', { topic: deviceTopic('lander', 'readings') }))
  await assert.rejects(mqttOver(client, 'testator', { topic: '$SYS/x' }))
  const session = await mqttOver(client, 'testator', { topic: deviceTopic('testator', 'goodbye') })
  await session.endAsync()
})

test('A-55 a packet that announces too much is cut at its header, before and after CONNECT', async () => {
  const { client } = await fixture.join('device', 'greedy')
  const closed = (socket: TcpSocket) =>
    new Promise((resolve) =>
      socket
        .once('close', resolve)
        .on('error', () => undefined)
        .resume(),
    )
  const socket = await client.connect(inner6(), 1883)
  const gone = closed(socket)
  // CONNECT of 5,000 bytes: 0x10, then Remaining Length 0x88 0x27.
  socket.write(Uint8Array.of(0x10, 0x88, 0x27, 0x00, 0x04))
  await gone
  const session = await mqttOver(client, 'greedy')
  const ended = new Promise<void>((resolve) => session.once('close', () => resolve()))
  session.publish(deviceTopic('greedy', 'readings'), Buffer.alloc(129 * 1024), { qos: 1 })
  await ended
  session.end(true)
})

test('A-56 a deep topic ends the connection, not the process', async () => {
  const { client } = await fixture.join('device', 'deep')
  const session = await mqttOver(client, 'deep')
  const ended = new Promise<void>((resolve) => session.once('close', () => resolve()))
  session.publish('a/'.repeat(101), 'x', { qos: 1 })
  await ended
  session.end(true)
  await (await mqttOver(client, 'deep')).endAsync()
})

test('a second connection of the same device takes over', async () => {
  const { client } = await fixture.join('device', 'twice')
  const first = await mqttOver(client, 'twice')
  const ended = new Promise<void>((resolve) => first.once('close', () => resolve()))
  const second = await mqttOver(client, 'twice')
  await ended
  await second.publishAsync(deviceTopic('twice', 'readings'), Buffer.from(encodeBatch(1, [reading(1)])), { qos: 1 })
  await second.endAsync()
})

test('an operator reaches what a grant names, nothing else; each flow and refusal is in the audit log', async () => {
  const pi = await fixture.join('device', 'pi', { tags: ['lab'] })
  const ann = await fixture.join('operator', 'ann')
  const echoes = pi.client.core.netstack.listen({ port: 22 }, (socket) => socket.on('error', () => undefined).pipe(socket))
  pi.client.core.netstack.listen({ port: 23 }, (socket) => socket.on('error', () => undefined).end('open'))
  const target = pi.principal.addresses[0]!
  assert.equal(await ann.client.core.netstack.ping(target, { timeoutMs: 200 }), undefined)
  await fixture.registry.grants.add(
    { operators: ['ann'], groups: [], tags: ['lab'], devices: [], ports: [{ from: 22, to: 22 }] },
    'test',
  )
  const socket = await ann.client.connect(target, 22)
  socket.write('hello')
  const [answer] = await new Promise<[Buffer]>((resolve) => socket.once('data', (data) => resolve([data])))
  assert.equal(answer.toString(), 'hello')
  assert.notEqual(await ann.client.core.netstack.ping(target, { timeoutMs: 2_000 }), undefined)
  assert.equal(await pi.client.core.netstack.ping(ann.principal.addresses[0]!, { timeoutMs: 200 }), undefined)
  const refusedBefore = fixture.broker.gateway.counters().drops['filter-refused'] ?? 0
  void ann.client.connect(target, 23).catch(() => undefined)
  void ann.client.connect(inner6(), 1883).catch(() => undefined)
  await eventually(() => (fixture.broker.gateway.counters().drops['filter-refused'] ?? 0) >= refusedBefore + 2)
  const told = async (action: string, subject: string, port: number): Promise<boolean> => {
    const rows = await fixture.registry.audit.query({ newest: true, limit: 1_000 })
    return rows.some(
      (row) => row.action === action && row.actor === 'operator:ann' && row.subject === subject && row.detail?.port === port,
    )
  }
  for (const [action, subject, port] of [
    ['flow.open', 'device:pi', 22],
    ['flow.refused', 'device:pi', 23],
    ['flow.refused', 'broker', 1883],
  ] as const)
    await eventually(() => told(action, subject, port), 5_000, `${action} ${subject} ${port}`)
  echoes.close()
})

test('revocation ends tunnel, flows and MQTT within a second', async () => {
  const { client, principal } = await fixture.join('device', 'doomed')
  const session = await mqttOver(client, 'doomed')
  const before = fixture.broker.gateway.counters().mqttClients
  await fixture.registry.devices.revoke('doomed')
  await eventually(() => fixture.broker.gateway.counters().mqttClients < before, 1_000)
  assert.equal(await client.core.netstack.ping(inner6(), { timeoutMs: 300 }), undefined)
  assert.equal(fixture.broker.gateway.presence(principal).state, 'never')
  session.end(true)
})

test('P-02 10,000 replays of a captured datagram: nothing forwarded, the endpoint stays', async () => {
  let captured: Uint8Array | undefined
  const { client, principal } = await fixture.join('device', 'captured', {
    outgoing: (datagram) => {
      if (datagram[0] === 4 && datagram.length > 60) captured = datagram.slice()
      return true
    },
  })
  assert.notEqual(await client.core.netstack.ping(inner6(), { timeoutMs: 2_000 }), undefined)
  const { endpoint } = fixture.broker.gateway.presence(principal)
  const before = fixture.broker.gateway.counters()
  const thief = createSocket('udp4')
  for (let i = 0; i < 10_000; i++) {
    await new Promise((sent) => thief.send(captured!, port(), '127.0.0.1', sent))
    if (i % 100 === 99) await new Promise((resolve) => setImmediate(resolve))
  }
  await eventually(() => (fixture.broker.gateway.counters().drops.replayed ?? 0) >= (before.drops.replayed ?? 0) + 9_000)
  thief.close()
  assert.ok(fixture.broker.gateway.counters().outerSent - before.outerSent < 100)
  assert.equal(fixture.broker.gateway.presence(principal).endpoint, endpoint)
  assert.notEqual(await client.core.netstack.ping(inner6(), { timeoutMs: 2_000 }), undefined)
})

test('P-30 a foreign inner source is dropped, counted and told with the name of its sender', async () => {
  const victim = await fixture.join('device', 'victim')
  const liar = await fixture.join('device', 'liar')
  liar.client.core.netstack.setAddresses([...victim.principal.addresses])
  assert.equal(await liar.client.core.netstack.ping(inner6(), { timeoutMs: 200 }), undefined)
  assert.ok((fixture.broker.gateway.counters().drops['inner-source-refused'] ?? 0) >= 1)
  const { gateway } = fixture.broker
  assert.equal(gateway.drops(liar.principal)[0]?.code, 'inner-source-refused')
  assert.deepEqual(gateway.drops(victim.principal), [], 'the one whose address it was has done nothing')
  await eventually(async () => {
    const rows = await fixture.registry.audit.query({ newest: true, limit: 1_000 })
    return rows.some(({ action, actor }) => action === 'packet.spoofed' && actor === 'device:liar')
  })
})

test('P-12 STUN is answered with the address it came from; strangers get silence', async () => {
  const socket = createSocket('udp4')
  const answers: Buffer[] = []
  socket.on('message', (answer) => answers.push(answer))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const ask = (datagram: Uint8Array) => new Promise((sent) => socket.send(datagram, port(), '127.0.0.1', sent))
  await ask(Uint8Array.of(0xff))
  await ask(new Uint8Array(148).fill(1).fill(0, 1, 4))
  await ask(new Uint8Array(500).fill(0x90))
  const id = Uint8Array.from({ length: 12 }, (_, i) => i)
  await ask(encodeBindingRequest(id))
  await eventually(() => answers.length > 0)
  assert.equal(answers.length, 1)
  assert.ok(answers[0]!.length <= 44)
  assert.deepEqual(readBindingAnswer(answers[0]!, id), { address: '127.0.0.1', port: socket.address().port })
  socket.close()
})

test('presence: never, up, down by goodbye; the probe asks the device itself', async () => {
  const { principal, key } = await fixture.enlist('device', 'seen')
  assert.deepEqual(fixture.broker.gateway.presence(principal), { state: 'never' })
  assert.equal(await fixture.broker.gateway.probe(principal, 100), false)
  const client = await fixture.dial(principal, key)
  await client.up()
  await eventually(() => fixture.broker.gateway.presence(principal).state === 'up')
  assert.equal(fixture.broker.gateway.presence(principal).endpoint, `127.0.0.1:${client.local.port}`)
  assert.equal(await fixture.broker.gateway.probe(principal, 2_000), true)
  const session = await mqttOver(client, 'seen')
  await session.publishAsync(deviceTopic('seen', 'goodbye'), '', { qos: 0 })
  await eventually(() => fixture.broker.gateway.presence(principal).state === 'down')
})

test('P-03 a device that moves is followed', async () => {
  const { client, principal } = await fixture.join('device', 'nomad')
  for (let i = 0; i < 5; i++) {
    await client.move()
    assert.notEqual(await client.core.netstack.ping(inner6(), { timeoutMs: 2_000 }), undefined)
    assert.equal(fixture.broker.gateway.presence(principal).endpoint, `127.0.0.1:${client.local.port}`)
  }
})

test('after a restart the broker itself calls the devices that it knew, and refuses old initiations (A-12)', async () => {
  let initiation: Uint8Array | undefined
  const { client, principal } = await fixture.join('device', 'lapsed', {
    outgoing: (datagram) => {
      if (datagram[0] === 1) initiation ??= datagram.slice()
      return true
    },
  })
  assert.notEqual(await client.core.netstack.ping(inner6(), { timeoutMs: 2_000 }), undefined)
  await fixture.restart()
  await eventually(() => fixture.broker.gateway.counters().sessions > 0, 5_000, 'a session that the broker began')
  const again = fixture.registry.directory.byId(principal.id)!
  await eventually(() => fixture.broker.gateway.probe(again, 1_000), 10_000, 'the probe')
  const socket = createSocket('udp4')
  const before = fixture.broker.gateway.counters().drops['stale-timestamp'] ?? 0
  socket.send(initiation!, port(), '127.0.0.1')
  await eventually(() => (fixture.broker.gateway.counters().drops['stale-timestamp'] ?? 0) > before)
  socket.close()
})
