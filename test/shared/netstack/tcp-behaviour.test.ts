import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Netstack, type TcpSocket } from '#shared/netstack/netstack.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import { TcpFlag } from '#shared/wire/tcp.ts'
import { ipv6, tcp } from '#test/shared/netstack/packets.ts'
import { VirtualNet } from '#test/shared/netstack/virtual-net.ts'

interface Seen {
  from: 'a' | 'b'
  flags: number
  sequence: number
  acknowledgement: number
  window: number
  length: number
  at: number
}

/** A connection between the stacks, and every segment that the link saw. */
async function connected(seed = 1, allowHalfOpen = true) {
  const net = new VirtualNet(seed)
  const seen: Seen[] = []
  net.faults.tap = (packet, from) => {
    if (packet[6] !== 6) return true
    const view = new DataView(packet.buffer)
    seen.push({
      from,
      flags: packet[53]!,
      sequence: view.getUint32(44),
      acknowledgement: view.getUint32(48),
      window: view.getUint16(54),
      length: packet.length - 40 - (packet[52]! >> 4) * 4,
      at: net.now(),
    })
    return true
  }
  let server: TcpSocket | undefined
  net.b.listen({ port: 80, allowHalfOpen }, (socket) => {
    server = socket
  })
  const client = net.a.connect({ address: 'fd00::b', port: 80, allowHalfOpen })
  assert.ok(await net.run(() => server !== undefined && !client.connecting))
  return { net, seen, client, server: server! }
}

const errorOf = (socket: TcpSocket): { code: string | undefined } => {
  const found: { code: string | undefined } = { code: undefined }
  socket.on('error', (error: NodeJS.ErrnoException) => {
    found.code = error.code
  })
  return found
}

test('a port without listener refuses; an address without host times out', async () => {
  const net = new VirtualNet(1)
  const refused = errorOf(net.a.connect({ address: 'fd00::b', port: 9 }))
  assert.ok(await net.run(() => refused.code !== undefined, 1_000))
  assert.equal(refused.code, 'ECONNREFUSED')
  const silent = errorOf(net.a.connect({ address: 'fd00::dead', port: 9 }))
  assert.ok(await net.run(() => silent.code !== undefined, 100_000))
  assert.equal(silent.code, 'ETIMEDOUT')
  assert.equal(net.a.usage.connections, 0)
})

test('both ends opening at once make one connection', async () => {
  const net = new VirtualNet(2)
  const a = net.a.connect({ address: 'fd00::b', port: 5001, localPort: 5000 })
  const b = net.b.connect({ address: 'fd00::a', port: 5000, localPort: 5001 })
  let got = ''
  b.on('data', (chunk: Buffer) => {
    got += chunk.toString()
  })
  a.write('hello')
  assert.ok(await net.run(() => got === 'hello', 10_000))
  assert.equal(net.a.usage.connections, 1)
  assert.equal(net.b.usage.connections, 1)
})

test('both ends closing at once end in TIME-WAIT, which ends', async () => {
  const { net, client, server } = await connected()
  client.end()
  server.end()
  client.resume()
  server.resume()
  await net.pass(1_000)
  assert.equal(net.a.usage.timeWaits, 1)
  assert.equal(net.b.usage.timeWaits, 1)
  await net.pass(120_000)
  assert.equal(net.a.usage.timeWaits + net.b.usage.timeWaits, 0)
})

test('half-close: the other half goes on', async () => {
  const { net, client, server } = await connected()
  let got = 0
  let ended = false
  client.on('data', (chunk: Buffer) => {
    got += chunk.length
  })
  client.end()
  server.resume()
  server.on('end', () => {
    ended = true
    server.end(Buffer.alloc(200_000))
  })
  assert.ok(await net.run(() => ended && got === 200_000))
})

test('without allowHalfOpen the peer that ends ends both', async () => {
  const { net, client, server } = await connected(3, false)
  let closed = 0
  for (const socket of [client, server]) {
    socket.resume()
    socket.on('close', () => closed++)
  }
  client.end()
  assert.ok(await net.run(() => closed === 2, 1_000))
})

test('destroy with an error resets the peer', async () => {
  const { net, client, server } = await connected()
  const failed = errorOf(server)
  client.on('error', () => undefined)
  client.destroy(new Error('gone'))
  assert.ok(await net.run(() => failed.code !== undefined, 1_000))
  assert.equal(failed.code, 'ECONNRESET')
  await net.pass(1_000)
  assert.equal(net.a.usage.connections + net.b.usage.connections, 0)
})

test('a reader that stops stops the writer; a lost window update is asked for by probes; then all arrives', async () => {
  const { net, client, server } = await connected()
  const size = 3_000_000
  let accepted = false
  client.write(Buffer.alloc(size), () => {
    accepted = true
  })
  await net.pass(20_000)
  assert.ok(!accepted, 'the write must wait')
  assert.ok(net.b.usage.bufferBytes + server.readableLength <= 65_535 + 65_536 + 1_300)
  // Every window update is lost for a while.
  let got = 0
  server.on('data', (chunk: Buffer) => {
    got += chunk.length
  })
  net.faults.loss = 1
  await net.pass(3_000)
  net.faults.loss = 0
  assert.ok(await net.run(() => got === size, 120_000))
  assert.ok(accepted)
})

test('Nagle gathers small writes; setNoDelay sends each', async () => {
  for (const noDelay of [false, true]) {
    const { net, seen, client, server } = await connected()
    server.resume()
    client.setNoDelay(noDelay)
    seen.length = 0
    for (let i = 0; i < 20; i++) client.write('x')
    await net.pass(1_000)
    const data = seen.filter(({ from, length }) => from === 'a' && length > 0)
    assert.equal(data.length, noDelay ? 20 : 2)
  }
})

test('acknowledgements are delayed, at most 40 ms, and at least every second segment is answered', async () => {
  const { net, seen, client, server } = await connected()
  server.resume()
  for (let i = 0; i < 20; i++) {
    client.write('warm')
    await net.pass(100)
  }
  seen.length = 0
  const started = net.now()
  client.write('one')
  await net.pass(200)
  const answer = seen.find(({ from }) => from === 'b')
  assert.ok(answer !== undefined && answer.at - started >= 40 && answer.at - started <= 60)
})

test('keepalive finds a peer that vanished', async () => {
  const { net, client } = await connected()
  client.setKeepAlive(true, 10_000)
  const failed = errorOf(client)
  await net.pass(60_000)
  assert.equal(failed.code, undefined)
  net.faults.loss = 1
  assert.ok(await net.run(() => failed.code !== undefined, 2_000_000))
  assert.equal(failed.code, 'ETIMEDOUT')
})

test('data without any answer is given up after the limit', async () => {
  const net = new VirtualNet(5, {}, { a: { limits: { giveUpMs: 30_000 } } })
  net.b.listen({ port: 80 }, (socket) => socket.resume())
  const client = net.a.connect({ address: 'fd00::b', port: 80 })
  const failed = errorOf(client)
  await net.pass(100)
  net.faults.loss = 1
  client.write('x')
  assert.ok(await net.run(() => failed.code !== undefined, 200_000))
  assert.equal(failed.code, 'ETIMEDOUT')
})

test('RFC 5961: a reset or SYN in the window is challenged, once in 500 ms; an exact reset counts', async () => {
  const { net, seen, client, server } = await connected()
  const failed = errorOf(server)
  client.on('error', () => undefined)
  const last = seen.findLast(({ from, flags }) => from === 'a' && (flags & TcpFlag.Syn) === 0)!
  const forge = (flags: number, sequence: number): void => {
    const parts = { sourcePort: client.localPort, destinationPort: 80, flags, sequence, acknowledgement: 0 }
    net.b.input(ipv6('fd00::a', 'fd00::b', 6, tcp('fd00::a', 'fd00::b', parts)))
  }
  seen.length = 0
  for (let i = 1; i < 50; i++) forge(TcpFlag.Rst, last.sequence + i)
  forge(TcpFlag.Syn, last.sequence + 1)
  forge(TcpFlag.Rst, last.sequence + 5_000_000)
  assert.equal(seen.filter(({ from }) => from === 'b').length, 1)
  await net.pass(600)
  assert.equal(failed.code, undefined)
  forge(TcpFlag.Syn, last.sequence + 1)
  assert.equal(seen.filter(({ from }) => from === 'b').length, 2)
  forge(TcpFlag.Rst, last.sequence)
  await net.pass(10)
  assert.equal(failed.code, 'ECONNRESET')
})

test('RFC 7323 PAWS: a segment with an old timestamp, or without one, is not data', async () => {
  const { net, seen, client, server } = await connected()
  let got = ''
  server.on('data', (chunk: Buffer) => {
    got += chunk.toString()
  })
  let stamp = 0
  const look = net.faults.tap!
  net.faults.tap = (packet, from) => {
    if (from === 'a' && packet.length >= 72) stamp = new DataView(packet.buffer).getInt32(64)
    return look(packet, from)
  }
  client.write('first')
  await net.pass(100)
  const last = seen.findLast(({ from }) => from === 'a')!
  const inject = (data: string, options: Uint8Array): void => {
    const sequence = last.sequence + got.length
    const { acknowledgement } = last
    const parts = { sourcePort: client.localPort, destinationPort: 80, flags: TcpFlag.Ack, sequence, acknowledgement }
    net.b.input(ipv6('fd00::a', 'fd00::b', 6, tcp('fd00::a', 'fd00::b', { ...parts, options, data: Buffer.from(data) })))
  }
  const stamped = (value: number): Buffer => {
    const options = Buffer.from('0101080a0000000000000000', 'hex')
    options.writeInt32BE(value | 0, 4)
    return options
  }
  inject('none', Buffer.alloc(0))
  inject('old', stamped(stamp - 5_000))
  await net.pass(10)
  assert.equal(got, 'first')
  inject(' new', stamped(stamp + 1))
  await net.pass(10)
  assert.equal(got, 'first new')
})

test('a flood of SYNs from one source leaves room for others and holds bounded memory', async () => {
  const net = new VirtualNet(6, {}, { b: { limits: { backlog: 64 } } })
  let accepted = 0
  const listener = net.b.listen({ port: 80 }, (socket) => {
    accepted++
    socket.resume()
  })
  const flood = (source: string, count: number): void => {
    for (let port = 1; port <= count; port++) {
      const segment = tcp(source, 'fd00::b', { sourcePort: port, destinationPort: 80, flags: TcpFlag.Syn, sequence: port })
      net.b.input(ipv6(source, 'fd00::b', 6, segment))
    }
  }
  flood('fd00::bad', 5_000)
  assert.equal(listener.pending, 16)
  net.a.connect({ address: 'fd00::b', port: 80 }).resume()
  await net.pass(100)
  assert.equal(accepted, 1)
  for (let i = 0; i < 100; i++) flood(`fd00::bad:${i.toString(16)}`, 20)
  assert.equal(listener.pending, 64)
  await net.pass(100_000)
  assert.equal(listener.pending, 0)
  assert.equal(net.b.usage.connections, 1)
})

test('initial sequence numbers and ephemeral ports differ from connection to connection', async () => {
  const net = new VirtualNet(7)
  const ports = new Set<number>()
  const numbers = new Set<number>()
  net.faults.tap = (packet) => {
    if (packet[53] === TcpFlag.Syn) numbers.add(new DataView(packet.buffer).getUint32(44) >>> 20)
    return true
  }
  for (let i = 0; i < 50; i++) {
    const socket = net.a.connect({ address: 'fd00::b', port: 1000 + i })
    socket.on('error', () => undefined)
    ports.add(socket.localPort)
  }
  await net.pass(100)
  assert.ok(ports.size > 45 && numbers.size > 40)
})

test('an address that goes away takes its connections along', async () => {
  const { net, client } = await connected()
  const failed = errorOf(client)
  net.a.setAddresses(['10.0.0.1'])
  await net.pass(10)
  assert.equal(failed.code, 'EADDRNOTAVAIL')
  const homeless = errorOf(net.a.connect({ address: 'fd00::b', port: 80 }))
  await net.pass(10)
  assert.equal(homeless.code, 'ENETUNREACH')
})

test('destroying a stack resets its peers and leaves nothing', async () => {
  const { net, client, server } = await connected()
  const failed = errorOf(server)
  client.on('error', () => undefined)
  net.a.destroy()
  await net.pass(100)
  assert.equal(failed.code, 'ECONNRESET')
  assert.deepEqual(net.a.usage, { connections: 0, timeWaits: 0, bufferBytes: 0, fragmentBytes: 0 })
})

test('an alarm that rang for nothing does not silence the next one', () => {
  let now = 1_000
  const alarms: number[] = []
  const stack = new Netstack({
    suite: nativeSuite,
    clock: { now: () => instant(now), wall: () => wallTime(0) },
    addresses: ['fd00::a'],
    transmit: () => undefined,
    wake: (at) => alarms.push(at),
  })
  const first = stack.connect({ address: 'fd00::b', port: 1 })
  first.on('error', () => undefined)
  assert.equal(alarms.at(-1), 2_000)
  // The driver wakes at 2 s, finds nothing due any more, and so does not call `expire`.
  first.destroy()
  now = 2_500
  assert.equal(stack.deadline(), undefined)
  stack.connect({ address: 'fd00::b', port: 2 }).on('error', () => undefined)
  assert.equal(alarms.at(-1), 3_500)
})

test('a connection that was heard since is not probed', async () => {
  const { net, seen, client, server } = await connected()
  errorOf(client)
  errorOf(server)
  const before = net.now()
  await net.run(() => false, 100)
  server.write('x')
  await net.run(() => false, 100)
  seen.length = 0
  net.a.probe(before)
  await net.run(() => false, 100)
  assert.equal(seen.length, 0)
  net.a.probe(net.now())
  await net.run(() => false, 100)
  assert.deepEqual(
    seen.map(({ from }) => from),
    ['a', 'b'],
  )
})

test('a probe is acknowledged by a peer that knows the connection, and resets one that the peer has forgotten', async () => {
  const { net, seen, client, server } = await connected()
  const failed = errorOf(client)
  errorOf(server)
  seen.length = 0
  net.a.probe()
  assert.ok(await net.run(() => seen.some(({ from, flags }) => from === 'b' && flags === TcpFlag.Ack), 1_000))
  assert.equal(failed.code, undefined)
  const tap = net.faults.tap!
  net.faults.tap = () => false
  server.reset()
  await net.run(() => false, 100)
  net.faults.tap = tap
  net.a.probe()
  assert.ok(await net.run(() => failed.code !== undefined, 1_000))
  assert.equal(failed.code, 'ECONNRESET')
})
