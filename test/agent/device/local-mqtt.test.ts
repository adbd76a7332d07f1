import assert from 'node:assert/strict'
import { once as onceEvent } from 'node:events'
import { connect } from 'node:net'
import test, { type TestContext } from 'node:test'
import mqtt, { type MqttClient } from 'mqtt'
import { PayloadError } from '#agent/core/reading-payload.ts'
import { LocalMqtt } from '#agent/io/local-mqtt.ts'
import { isAditError } from '#shared/errors.ts'
import { silentLog } from '#shared/platform/log.ts'

async function listening(t: TestContext, take: (name: string, payload: Uint8Array) => Promise<void>): Promise<LocalMqtt> {
  const local = await LocalMqtt.listen({ address: '127.0.0.1', port: 0 }, { take }, silentLog)
  t.after(() => local.close())
  return local
}

const once = (client: MqttClient, event: 'connect' | 'close'): Promise<void> =>
  new Promise((resolve) => client.once(event, () => resolve()))

async function connected(t: TestContext, local: LocalMqtt) {
  const client = mqtt.connect({ host: '127.0.0.1', port: local.address.port, protocolVersion: 4, reconnectPeriod: 0 })
  t.after(() => client.endAsync(true))
  await once(client, 'connect')
  return client
}

test('P-21 PUBACK comes after the commit, and not before', async (t) => {
  let commit = (): void => {}
  const committed = new Promise<void>((resolve) => {
    commit = resolve
  })
  const taken: string[] = []
  const local = await listening(t, async (name, payload) => {
    taken.push(`${name}=${Buffer.from(payload)}`)
    await committed
  })
  const client = await connected(t, local)
  let acknowledged = false
  const published = client.publishAsync('sensors/boiler/t1', '71.5', { qos: 1 }).then(() => {
    acknowledged = true
  })
  while (taken.length === 0) await new Promise((resolve) => setImmediate(resolve))
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(acknowledged, false)
  commit()
  await published
  assert.deepEqual(taken, ['boiler/t1=71.5'])
})

test('a storage that fails acknowledges nothing', async (t) => {
  const local = await listening(t, () => Promise.reject(new Error('disk full')))
  const client = await connected(t, local)
  let acknowledged = false
  client.publish('sensors/t', '1', { qos: 1 }, (error) => {
    acknowledged = error === undefined || error === null
  })
  await once(client, 'close')
  assert.equal(acknowledged, false)
})

test('what is no reading is acknowledged, counted, and named', async (t) => {
  const local = await listening(t, () => Promise.reject(new PayloadError('the payload is empty')))
  const client = await connected(t, local)
  await client.publishAsync('sensors/t', '', { qos: 1 })
  assert.equal(local.counters.refused, 1)
  assert.match(local.counters.lastRefusal!, /sensors\/t: the payload is empty/)
})

test('A-49 other topics are refused, and nobody subscribes', async (t) => {
  const local = await listening(t, () => Promise.resolve())
  const client = await connected(t, local)
  const [grant] = await client.subscribeAsync('sensors/#').catch((error) => [{ qos: error.code ?? 128 }])
  assert.equal(grant?.qos, 128)
  const other = await connected(t, local)
  other.publish('adit/d/other/readings', '1', { qos: 1 })
  await once(other, 'close')
  assert.equal(local.counters.accepted, 0)
})

test('a port in use is one sentence with a mend', async (t) => {
  const local = await listening(t, () => Promise.resolve())
  await assert.rejects(
    LocalMqtt.listen(local.address, { take: () => Promise.resolve() }, silentLog),
    (error) => isAditError(error) && error.code === 'port-in-use' && error.mend.includes('--mqtt off'),
  )
})

test('A-55 a packet that announces too much is cut before it is gathered, before CONNECT and after', async (t) => {
  const local = await listening(t, () => Promise.resolve())
  const stranger = connect(local.address.port, '127.0.0.1')
  stranger.on('error', () => {})
  // A CONNECT of 8 KB; nothing of its body follows, so only the announced length can have cut it.
  stranger.write(Uint8Array.of(0x10, 0x80, 0x40))
  await onceEvent(stranger, 'close')
  assert.equal(local.counters.refused, 1)

  const client = await connected(t, local)
  await client.publishAsync('sensors/long', 'x'.repeat(64 * 1024), { qos: 1 })
  assert.equal(local.counters.accepted, 1)
  client.stream.write(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f))
  await once(client, 'close')
  assert.equal(local.counters.refused, 2)
  assert.match(local.counters.lastRefusal!, /longer than permitted/)
})
