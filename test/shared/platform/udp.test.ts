import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAditError } from '#shared/errors.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'

const bind = (port: number, onDatagram: (datagram: Uint8Array, from: Endpoint) => void = () => undefined, address?: string) =>
  UdpSocket.bind({ port, onDatagram, ...(address && { address }) })

test('both families on one port, addresses without mapping', async () => {
  const heard: Endpoint[] = []
  let whole: () => void
  const both = new Promise<void>((resolve) => {
    whole = resolve
  })
  const server = await bind(0, (_datagram, { address, port }) => {
    heard.push({ address, port })
    if (heard.length === 2) whole()
  })
  const { port } = server.local
  const four = await bind(0, undefined, '127.0.0.1')
  const six = await bind(0, undefined, '::1').catch(() => undefined)
  assert.equal(four.send(Uint8Array.of(1), { address: '127.0.0.1', port }), true)
  assert.equal(four.send(Uint8Array.of(1), { address: '::1', port }), false)
  if (six) six.send(Uint8Array.of(2), { address: '::1', port })
  else four.send(Uint8Array.of(2), { address: '127.0.0.1', port })
  await both
  assert.deepEqual(heard[0], four.local)
  if (six) assert.deepEqual(heard[1], six.local)
  await Promise.all([server.close(), four.close(), six?.close()])
})

test('the datagram is borrowed: what is written into it after the call is not sent', async () => {
  let arrived: (value: Uint8Array) => void
  const first = new Promise<Uint8Array>((resolve) => {
    arrived = resolve
  })
  const server = await bind(0, (datagram) => arrived(datagram), '127.0.0.1')
  const client = await bind(0, undefined, '127.0.0.1')
  const bytes = Uint8Array.of(1, 2, 3)
  client.send(bytes, server.local)
  bytes.fill(9)
  assert.deepEqual([...(await first)], [1, 2, 3])
  await Promise.all([server.close(), client.close()])
})

test('a port in use is told with its number', async () => {
  const server = await bind(0, undefined, '127.0.0.1')
  const { port } = server.local
  await assert.rejects(bind(port, undefined, '127.0.0.1'), (error: unknown) => {
    assert.ok(isAditError(error))
    assert.equal(error.code, 'port-in-use')
    assert.match(error.message, new RegExp(`${port}`))
    return true
  })
  await server.close()
})

test('an address that is another machine’s is a fault of the configuration, in words', async () => {
  await assert.rejects(bind(0, undefined, '203.0.113.99'), (error: unknown) => {
    assert.ok(isAditError(error))
    assert.equal(error.code, 'config-invalid')
    assert.match(
      `${error.message} ${error.mend}`,
      /203\.0\.113\.99: this machine has no such address\. Name an address that it has/,
    )
    return true
  })
})
