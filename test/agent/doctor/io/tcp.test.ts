import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import test from 'node:test'
import { reachTcp } from '#agent/doctor/io/tcp.ts'

test('a service that greets is found, and its connection ends without a reset', async () => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  const ended = new Promise<string>((resolve) => {
    server.on('connection', (socket) => {
      socket.on('error', ({ message }) => resolve(message))
      socket.resume().once('close', () => resolve('closed'))
      socket.write('hello')
      // Said when the visitor has had time to hang up.
      setTimeout(() => socket.end('and welcome'), 50)
    })
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  assert.equal(await reachTcp({ address: '127.0.0.1', port }), 'open')
  assert.equal(await ended, 'closed')
  server.close()
  await once(server, 'close')
  assert.equal(await reachTcp({ address: '127.0.0.1', port }), 'refused')
})
