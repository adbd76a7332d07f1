import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { StreamDoor } from '#broker/gateway/stream-door.ts'
import { acceptWebsockets, tunnelPath } from '#broker/gateway/stream-door-websocket.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { DatagramStream } from '#shared/platform/datagram-stream.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { openWebsocket, UpgradeRefused } from '#shared/platform/websocket-client.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

/** Our client against the library `ws` behind the broker's door; TLS is left out, since neither end looks at it. */
async function hall(
  t: TestContext,
): Promise<{ port: number; door: StreamDoor; heard: { datagram: Uint8Array; from: Endpoint }[]; server: Server }> {
  const heard: { datagram: Uint8Array; from: Endpoint }[] = []
  const receive = (datagram: Uint8Array, from: Endpoint): number => {
    heard.push({ datagram, from })
    return 0
  }
  const door = new StreamDoor({ clock: systemClock, timers: systemTimers, receive })
  const server = createServer((_request, response) => response.end('no'))
  acceptWebsockets(server, door)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    door.close()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, door, heard, server }
}

interface Guest {
  stream: DatagramStream
  socket: Socket
  heard: Uint8Array[]
  closed: Promise<string>
}

async function enter(port: number, path = tunnelPath): Promise<Guest> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const heard: Uint8Array[] = []
  let close!: (why: string) => void
  const closed = new Promise<string>((resolve) => (close = resolve))
  const target = { suite, host: `127.0.0.1:${port}`, path, timeoutMs: 2_000 }
  const stream = await openWebsocket(socket, target, { datagram: (d) => heard.push(d), alive() {}, closed: close })
  return { stream, socket, heard, closed }
}

/** Random, but for its first bit: a stream that brings no data stays under the cap for strangers, which these lengths exceed. */
function espLike(size: number): Uint8Array {
  const datagram = suite.random(size)
  datagram[0]! |= 0x80
  return datagram
}

async function until(holds: () => boolean): Promise<void> {
  for (const start = performance.now(); !holds(); ) {
    if (performance.now() - start > 5_000) assert.fail('it did not come to hold')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('datagrams of every length come through whole, both ways, as `ws` reads and writes them', async (t) => {
  const { port, door, heard } = await hall(t)
  const guest = await enter(port)
  const sizes = [1, 125, 126, 1_280, 1_452, 9_000, 65_535]
  for (const size of sizes) assert.equal(guest.stream.send(espLike(size)), true)
  await until(() => heard.length === sizes.length)
  assert.deepEqual(
    heard.map(({ datagram }) => datagram.length),
    sizes,
  )
  for (const { datagram, from } of heard) assert.equal(door.send(datagram, from), true)
  await until(() => guest.heard.length === sizes.length)
  for (const [i, datagram] of guest.heard.entries()) assert.equal(Buffer.compare(datagram, heard[i]!.datagram), 0)
  assert.equal(guest.stream.send(new Uint8Array(65_536)), false, 'longer than any datagram')
  door.close()
  assert.match(await guest.closed, /./)
})

test('A-74 A-87 another path, another site and a plain request are refused, and the refusal says its status', async (t) => {
  const { port, door } = await hall(t)
  await assert.rejects(enter(port, '/v1/other'), (error) => error instanceof UpgradeRefused && error.head.status === 404)
  const answer = (await (await fetch(`http://127.0.0.1:${port}${tunnelPath}`)).text()) satisfies string
  assert.equal(answer, 'no')
  const upgrade = async (origin: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    const key = Buffer.alloc(16).toString('base64')
    socket.write(
      `GET ${tunnelPath} HTTP/1.1\r\nHost: broker:1\r\nOrigin: ${origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n`,
    )
    const [head] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return head.toString('latin1')
  }
  assert.match(await upgrade('https://evil.example'), /^HTTP\/1\.1 403 /)
  assert.match(await upgrade('null'), /^HTTP\/1\.1 403 /)
  const own = await upgrade('https://broker:1')
  assert.match(own, /^HTTP\/1\.1 101 /)
  assert.ok(!/permessage-deflate/i.test(own), 'A-63: no compression, though it was offered')
  assert.equal(door.counters.accepted, 1)
})

test('a slow reader costs datagrams, not memory', async (t) => {
  const { port, door, heard } = await hall(t)
  const guest = await enter(port)
  guest.stream.send(Uint8Array.of(1))
  await until(() => heard.length === 1)
  const { from } = heard[0]!
  guest.socket.pause()
  const datagram = new Uint8Array(1_400)
  let taken = 0
  // The kernels of both ends take some megabytes; what Node holds is bounded.
  for (let i = 0; i < 40_000; i++) {
    if (door.send(datagram, from)) taken++
    if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const { dropped } = door.counters
  assert.ok(dropped > 0 && taken + dropped === 40_000, `${taken} taken, ${dropped} dropped`)
  guest.socket.resume()
  await until(() => guest.heard.length === taken)
  assert.equal(door.send(datagram, from), true, 'the stream lives on')
})

test('a server that is none, babbles or is silent costs its time and no more', async (t) => {
  const answers = async (answer: string | undefined): Promise<Error> => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => answer !== undefined && socket.write(answer))
    }).listen(0, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    return enter((server.address() as AddressInfo).port).then(
      () => assert.fail('it was taken'),
      (error) => error,
    )
  }
  assert.match((await answers('SSH-2.0-x\r\n')).message, /not HTTP/)
  assert.match((await answers(undefined)).message, /no answer within 2 s/)
  assert.match((await answers(`HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(4_000)}`)).message, /not HTTP/)
  const lying = await answers('HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n')
  assert.ok(lying instanceof UpgradeRefused)
})
