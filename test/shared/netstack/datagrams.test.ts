import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import fc from '#test/lab/properties.ts'
import { ipv4, ipv6, seal, tcp, udp } from '#test/shared/netstack/packets.ts'
import { VirtualNet } from '#test/shared/netstack/virtual-net.ts'

/** What stack b sends, by protocol of its first header. */
function listening(seed = 1) {
  const net = new VirtualNet(seed)
  const sent: Uint8Array[] = []
  net.faults.tap = (packet, from) => {
    if (from === 'b') sent.push(packet)
    return true
  }
  return { net, sent }
}

test('UDP goes both ways over both families, and knows its sender', async () => {
  for (const [a, b] of [
    ['fd00::a', 'fd00::b'],
    ['10.0.0.1', '10.0.0.2'],
  ] as const) {
    const { net } = listening()
    const got: string[] = []
    const server = net.b.bindUdp({ port: 53 }, (payload, from, to) => {
      got.push(`${Buffer.from(payload)} ${from.address} ${to.address}`)
      server.send(Buffer.from('pong'), from.address, from.port)
    })
    const client = net.a.bindUdp({ port: 0, address: a }, (payload) => got.push(Buffer.from(payload).toString()))
    assert.equal(client.send(Buffer.from('ping'), b, 53), 0)
    await net.pass(50)
    assert.deepEqual(got, [`ping ${a} ${b}`, 'pong'])
    assert.equal(client.send(Buffer.alloc(1_300), b, 53), DropReason.InnerTooBig)
    client.close()
    assert.throws(() => net.b.bindUdp({ port: 53 }, () => undefined), { code: 'EADDRINUSE' })
  }
})

test('a UDP port without socket is unreachable; such answers are limited and never larger than 1280', async () => {
  const { net, sent } = listening()
  for (let i = 0; i < 1_000; i++)
    net.b.input(ipv6('fd00::a', 'fd00::b', 17, udp('fd00::a', 'fd00::b', 9, 9, Buffer.alloc(1_200))))
  assert.equal(sent.length, 200)
  assert.ok(sent.every((packet) => packet[6] === 58 && packet[40] === 1 && packet[41] === 4 && packet.length <= 1_280))
})

test('no error answers an error, a multicast source or a wrong checksum', () => {
  const { net, sent } = listening()
  net.b.input(ipv6('ff02::1', 'fd00::b', 17, udp('ff02::1', 'fd00::b', 9, 9, Buffer.alloc(8))))
  const wrong = udp('fd00::a', 'fd00::b', 9, 9, Buffer.alloc(8))
  wrong[6]! ^= 1
  assert.equal(net.b.input(ipv6('fd00::a', 'fd00::b', 17, wrong)), DropReason.InnerMalformed)
  const error = new Uint8Array(48)
  error[0] = 1
  seal(error, 2, 'fd00::a', 'fd00::b', 58)
  net.b.input(ipv6('fd00::a', 'fd00::b', 58, error))
  assert.equal(sent.length, 0)
})

test('ping answers over both families, and says when nobody is there', async () => {
  const { net } = listening()
  const results: (number | undefined)[] = []
  for (const address of ['fd00::b', '10.0.0.2', 'fd00::dead']) void net.a.ping(address).then((ms) => results.push(ms))
  await net.pass(2_000)
  await net.pass(1)
  assert.deepEqual(results, [10, 10, undefined])
})

test('packets for others are not ours', () => {
  const { net } = listening()
  assert.equal(net.b.input(ipv6('fd00::a', 'fd00::c', 17, udp('fd00::a', 'fd00::c', 9, 9, Buffer.alloc(8)))), DropReason.NotForUs)
})

/** Cuts the payload of an IPv4 datagram. */
function pieces(payload: Uint8Array, cuts: readonly number[], id = 7): Uint8Array[] {
  const edges = [0, ...cuts, payload.length]
  return edges.slice(0, -1).map((start, i) => {
    const end = edges[i + 1]!
    return ipv4('10.0.0.1', '10.0.0.2', 17, payload.subarray(start, end), (end < payload.length ? 0x2000 : 0) | (start >> 3), id)
  })
}

test('A-27 fragments come together in any order, and overlapping ones never do', () => {
  const { net } = listening()
  let got = 0
  net.b.bindUdp({ port: 9 }, (payload) => {
    got += payload.length
  })
  const payload = udp('10.0.0.1', '10.0.0.2', 9, 9, Buffer.alloc(3_000, 1))
  const [first, second, third] = pieces(payload, [1_000, 2_000]) as [Uint8Array, Uint8Array, Uint8Array]
  for (const piece of [third, first, second]) assert.equal(net.b.input(piece), 0)
  assert.equal(got, 3_000)
  const overlap = ipv4('10.0.0.1', '10.0.0.2', 17, payload.subarray(992, 2_000), 0x2000 | (992 >> 3), 8)
  const again = pieces(payload, [1_000, 2_000], 8)
  net.b.input(again[0]!)
  assert.equal(net.b.input(overlap), DropReason.InnerMalformed)
  net.b.input(again[1]!)
  net.b.input(again[2]!)
  assert.equal(got, 3_000)
})

test('A-27 fragments that never come together cost bounded memory for a bounded time', async () => {
  const { net } = listening()
  for (let id = 0; id < 5_000; id++) net.b.input(ipv4('10.0.0.1', '10.0.0.2', 17, new Uint8Array(1_200), 0x2000, id))
  assert.ok(net.b.usage.fragmentBytes <= 256 << 10)
  await net.pass(20_000)
  assert.equal(net.b.usage.fragmentBytes, 0)
})

test('A-27 IPv6 fragments too, the atomic one included', () => {
  const { net } = listening()
  let got = 0
  net.b.bindUdp({ port: 9 }, (payload) => {
    got += payload.length
  })
  const payload = udp('fd00::a', 'fd00::b', 9, 9, Buffer.alloc(1_000, 1))
  const piece = (start: number, end: number, more: number, id: number): Uint8Array => {
    const out = new Uint8Array(8 + end - start)
    const view = new DataView(out.buffer)
    out[0] = 17
    view.setUint16(2, start | more)
    view.setUint32(4, id)
    out.set(payload.subarray(start, end), 8)
    return ipv6('fd00::a', 'fd00::b', 44, out)
  }
  net.b.input(piece(0, 1_008, 0, 1))
  assert.equal(got, 1_000)
  net.b.input(piece(504, 1_008, 0, 2))
  net.b.input(piece(0, 504, 1, 2))
  assert.equal(got, 2_000)
})

test('A-27 extension headers that overflow, repeat, loop or confuse are dropped', () => {
  const { net } = listening()
  const datagram = udp('fd00::a', 'fd00::b', 9, 9, Buffer.alloc(8))
  const chain = (...headers: (readonly number[])[]): Uint8Array => Uint8Array.from([...headers.flat(), ...datagram])
  const padded = (next: number, length = 0): number[] => [next, length, 1, 4, 0, 0, 0, 0]
  let got = 0
  net.b.bindUdp({ port: 9 }, () => got++)
  const send = (next: number, payload: Uint8Array): number => net.b.input(ipv6('fd00::a', 'fd00::b', next, payload))
  assert.equal(send(0, chain(padded(17))), 0)
  assert.equal(send(60, chain(padded(17))), 0)
  assert.equal(got, 2)
  const refused: [next: number, payload: Uint8Array][] = [
    [60, chain(padded(17, 255))],
    [60, chain(padded(0), padded(17))],
    [43, chain([17, 0, 0, 1, 0, 0, 0, 0])],
    [60, chain([17, 0, 0xc2, 4, 0, 0, 0, 0])],
    [60, chain([17, 0, 1, 200, 0, 0, 0, 0])],
    [51, chain(padded(17))],
    [60, Uint8Array.from([17])],
    [60, chain(...Array.from({ length: 12 }, (_, i) => padded(i === 11 ? 17 : 60)))],
    [44, chain([44, 0, 0, 0, 0, 0, 0, 1], [17, 0, 0, 0, 0, 0, 0, 1])],
  ]
  for (const [next, payload] of refused) assert.equal(send(next, payload), DropReason.InnerMalformed)
  assert.equal(got, 2)
})

test('P-13 no packet of a stranger throws, and none of them leaves more than a bounded trace', () => {
  const { net } = listening()
  net.b.listen({ port: 80 }, (socket) => socket.on('error', () => undefined))
  net.b.bindUdp({ port: 9 }, () => undefined)
  const bytes = fc.uint8Array({ maxLength: 120 })
  const segment = fc
    .record({
      sourcePort: fc.nat(3),
      destinationPort: fc.constant(80),
      sequence: fc.oneof(fc.nat(10), fc.nat(0xffff_ffff)),
      acknowledgement: fc.nat(0xffff_ffff),
      flags: fc.nat(255),
      window: fc.nat(65_535),
      options: fc.uint8Array({ maxLength: 10 }).map((some) => {
        const out = new Uint8Array(Math.ceil(some.length / 4) * 4)
        out.set(some)
        return out
      }),
      data: fc.uint8Array({ maxLength: 30 }),
    })
    .map((parts) => ipv6('fd00::a', 'fd00::b', 6, tcp('fd00::a', 'fd00::b', parts)))
  const headed = fc
    .tuple(fc.constantFrom(0, 6, 17, 43, 44, 58, 60, 99), bytes)
    .map(([next, payload]) => ipv6('fd00::a', 'fd00::b', next, payload))
  const four = fc
    .tuple(fc.constantFrom(1, 6, 17, 99), bytes, fc.nat(0xffff))
    .map(([protocol, payload, fragment]) => ipv4('10.0.0.1', '10.0.0.2', protocol, payload, fragment))
  fc.assert(
    fc.property(fc.oneof(bytes, headed, four, segment), (packet) => {
      net.b.input(packet)
    }),
    { numRuns: 20_000, seed: 42 },
  )
  assert.ok(net.b.usage.connections <= 1_024)
  assert.ok(net.b.usage.fragmentBytes <= 256 << 10)
})
