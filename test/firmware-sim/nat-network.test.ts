import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import test from 'node:test'
import { NatNetwork } from '#sim/io/nat-network.ts'
import { perfectLink } from '#sim/link.ts'
import { natKinds } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'

async function echoServer() {
  const socket = createSocket('udp4')
  const seen: number[] = []
  socket.on('message', (datagram, from) => {
    seen.push(from.port)
    socket.send(datagram, from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { seen, endpoint: { address: '127.0.0.1', port: socket.address().port }, close: () => socket.close() }
}

test('a device behind the NAT reaches a real socket and is answered; a NAT that forgets gives it another port', async () => {
  const server = await echoServer()
  const network = new NatNetwork(natKinds['port-restricted'], perfectLink, new SeededRandom(1))
  let answered: (text: string) => void = () => {}
  const host = network.join({ address: '192.168.7.2', port: 4500 }, (datagram) => answered(Buffer.from(datagram).toString()))
  const ask = (text: string) =>
    new Promise<string>((resolve) => {
      answered = resolve
      host.send(Buffer.from(text), server.endpoint)
    })
  assert.equal(await ask('one'), 'one')
  assert.equal(await ask('two'), 'two')
  assert.equal(server.seen[0], server.seen[1])
  network.forgetMappings()
  assert.equal(await ask('three'), 'three')
  assert.notEqual(server.seen[2], server.seen[1])
  network.close()
  server.close()
})

test('a blocked network passes nothing', async () => {
  const server = await echoServer()
  const network = new NatNetwork(natKinds['full-cone'], perfectLink, new SeededRandom(1))
  const host = network.join({ address: '192.168.7.2', port: 4500 }, () => assert.fail('nothing may come in'))
  network.blocked = true
  host.send(Buffer.from('lost'), server.endpoint)
  const probe = createSocket('udp4')
  probe.send('here', server.endpoint.port, server.endpoint.address)
  await once(probe, 'message')
  assert.equal(server.seen.length, 1)
  probe.close()
  network.close()
  server.close()
})
