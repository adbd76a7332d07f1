import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { LocalMqtt } from '#agent/io/local-mqtt.ts'
import { silentLog } from '#shared/platform/log.ts'

/** MQTT 3.1.1 §3.1: the shortest CONNECT, of a client without a name. */
const CONNECT = Buffer.from('100c00044d5154540402003c0000', 'hex')

/** §3.3: `1` to sensors/t at QoS 1. */
function publication(id: number): Buffer {
  const topic = Buffer.from('sensors/t')
  const packet = Buffer.concat([
    Buffer.from([0x32, 0, 0, topic.length]),
    topic,
    Buffer.from([id >> 8, id & 255]),
    Buffer.from('1'),
  ])
  packet[1] = packet.length - 2
  return packet
}

test('packets that are written cost no table of every number there is, and carry the right ones', async (t) => {
  const before = process.memoryUsage().heapUsed
  const local = await LocalMqtt.listen({ address: '127.0.0.1', port: 0 }, { take: async () => {} }, silentLog)
  t.after(() => local.close())
  const socket = connect(local.address.port, '127.0.0.1')
  t.after(() => socket.destroy())
  const ids = [1, 0x00ff, 0x0100, 0x1234, 0xffff]
  socket.write(Buffer.concat([CONNECT, ...ids.map(publication)]))
  let answers = Buffer.alloc(0)
  while (answers.length < 4 + 4 * ids.length) answers = Buffer.concat([answers, (await once(socket, 'data'))[0]])
  // §3.2 CONNACK, §3.4 PUBACK.
  const acknowledged = ids.map((id) => `4002${id.toString(16).padStart(4, '0')}`)
  assert.equal(answers.toString('hex'), `20020000${acknowledged.join('')}`)
  assert.ok(process.memoryUsage().heapUsed - before < 4 * 1024 * 1024)
})
