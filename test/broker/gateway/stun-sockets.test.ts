import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import { type BindingWishes, encodeBindingRequest, readBindingResponse } from '#shared/wire/stun-binding.ts'
import { BrokerFixture } from '#test/broker/broker-fixture.ts'

/** A broker at 127.0.0.1 whose second address is 127.0.0.2, and a client whose socket takes from anybody. */

let fixture: BrokerFixture
let client: Socket
let port: number
let alternate: number

before(async () => {
  fixture = await BrokerFixture.start({ stunAlternates: [{ address: '127.0.0.2', port: 0 }] })
  port = portOf(fixture.broker.ready.listen)
  alternate = portOf(fixture.broker.gateway.stunEndpoints[0]!)
  client = await bound()
})

after(async () => {
  client.close()
  await fixture.end()
})

const portOf = (text: string): number => Number(text.split(':').at(-1))

/** Of a broker that did not start. */
async function discard({ registry, folder }: BrokerFixture): Promise<void> {
  await registry.close()
  rmSync(folder, { recursive: true, force: true })
}

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}

async function ask(to: Endpoint, wishes: BindingWishes, at = client) {
  const id = nativeSuite.random(12)
  const heard = once(at, 'message') as Promise<[Buffer, { address: string; port: number }]>
  const request = encodeBindingRequest(id, wishes)
  client.send(request, to.port, to.address)
  const [datagram, { address, port }] = await heard
  assert.ok(datagram.length <= request.length)
  return { from: endpointText({ address, port }), said: readBindingResponse(datagram, id) }
}

test('RFC 5780 §6.1: from each of four sockets, by each of four changes, the answer comes from where the table says', async () => {
  const addresses = ['127.0.0.1', '127.0.0.2']
  const ports = [port, alternate]
  for (const asked of [0, 1, 2, 3]) {
    for (const flip of [0, 1, 2, 3]) {
      const at = (corner: number): Endpoint => ({ address: addresses[corner >> 1]!, port: ports[corner & 1]! })
      const { from, said } = await ask(at(asked), { change: { address: flip > 1, port: flip % 2 === 1 }, length: 92 })
      assert.equal(from, endpointText(at(asked ^ flip)), `asked at ${asked}, changed by ${flip}`)
      const mapped = { address: '127.0.0.1', port: client.address().port }
      assert.deepEqual(said, { mapped, other: at(asked ^ 3), origin: at(asked ^ flip) })
    }
  }
})

test('RESPONSE-PORT: the answer goes to another socket of the sender', async () => {
  const second = await bound()
  const { said } = await ask({ address: '127.0.0.1', port }, { responsePort: second.address().port }, second)
  second.close()
  assert.ok(said && 'mapped' in said)
  assert.equal(said.mapped?.port, client.address().port)
})

test('P-12 the sockets of STUN answer nothing else, and count it', async () => {
  const refused = () => fixture.broker.gateway.counters().drops['stun-refused'] ?? 0
  const before = refused()
  for (const address of ['127.0.0.1', '127.0.0.2']) client.send(new Uint8Array(148).fill(1).fill(0, 1, 4), alternate, address)
  while (refused() < before + 2) await ask({ address: '127.0.0.1', port }, {})
})

test('an alternate that is no address of ours is another broker: named, and its address is not answered for', async () => {
  const other = await BrokerFixture.start({ stunAlternates: [{ address: '192.0.2.77', port: 0 }] })
  const to = { address: '127.0.0.1', port: portOf(other.broker.ready.listen) }
  const second = portOf(other.broker.gateway.stunEndpoints[0]!)
  const { said } = await ask(to, { length: 92 })
  assert.deepEqual(said && 'other' in said && said.other, { address: '192.0.2.77', port: second })
  assert.deepEqual((await ask(to, { change: { address: true, port: false }, length: 92 })).said, { refused: 420 })
  assert.equal((await ask(to, { change: { address: false, port: true }, length: 92 })).from, `127.0.0.1:${second}`)
  await other.end()
})

test('an alternate that cannot be opened, or makes no sense, keeps the broker from starting', async () => {
  const taken = await UdpSocket.bind({ address: '127.0.0.2', port: 0, onDatagram: () => {} })
  for (const [stunAlternates, code] of [
    [[{ address: '127.0.0.2', port: taken.local.port }], 'port-in-use'],
    [[{ address: '::1', port: 4501 }], 'config-invalid'],
    [[{ address: '127.0.0.2', port }], 'config-invalid'],
  ] as const) {
    const fixture = new BrokerFixture({ stunAlternates })
    await assert.rejects(fixture.open(stunAlternates[0].port === port ? { address: '127.0.0.3', port } : undefined), { code })
    await discard(fixture)
  }
  await taken.close()
})

test('a broker at all addresses leaves the second one to STUN, passes on what is for the tunnels, and notices a taken port', async () => {
  const every = await BrokerFixture.start({ udp: { port: 0 }, stunAlternates: [{ address: '127.0.0.2', port: 0 }] })
  const tunnels = portOf(every.broker.ready.listen)
  const at = { address: '127.0.0.2', port: tunnels }
  assert.equal((await ask(at, { length: 92 })).from, endpointText(at), 'answered from where it was asked')
  const received = () => every.broker.gateway.counters().outerReceived
  const before = received()
  client.send(Uint8Array.of(0xff), tunnels, '127.0.0.2')
  while (received() === before) await ask(at, { length: 92 })
  const second = new BrokerFixture({ udp: { port: tunnels }, stunAlternates: [{ address: '127.0.0.2', port: 0 }] })
  await assert.rejects(second.open(), { code: 'port-in-use' })
  await discard(second)
  await every.end()
})
