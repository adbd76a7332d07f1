import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InnerPacket, PacketKind } from '#shared/dataplane/inner-packet.ts'
import { DropReason } from '#shared/drop-reason.ts'
import fc from '#test/lab/properties.ts'
import { echo, extension, ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'

const v4 = { from: '10.0.0.1', to: '10.0.0.2' }
const v6 = { from: 'fd00::1', to: 'fd00::2' }
const packet = new InnerPacket()
const read = (bytes: Uint8Array, available = bytes.length): number => packet.read(bytes, available)

test('what is read of a whole packet, in both families', () => {
  for (const ends of [v4, v6]) {
    assert.equal(read(ipPacket({ ...ends, protocol: 6, body: tcp(40_000, 22, 0x02) })), 0)
    assert.deepEqual(
      [packet.kind, packet.sourcePort, packet.destinationPort, packet.tcpFlags],
      [PacketKind.Tcp, 40_000, 22, 0x02],
    )
    assert.equal(read(ipPacket({ ...ends, body: udp(53, 5353) })), 0)
    assert.deepEqual([packet.kind, packet.sourcePort, packet.destinationPort], [PacketKind.Udp, 53, 5353])
    const [protocol, request, reply] = ends === v4 ? [1, 8, 0] : [58, 128, 129]
    assert.equal(read(ipPacket({ ...ends, protocol, body: echo(request, 77) })), 0)
    assert.deepEqual([packet.kind, packet.sourcePort], [PacketKind.EchoRequest, 77])
    assert.equal(read(ipPacket({ ...ends, protocol, body: echo(reply, 77) })), 0)
    assert.equal(packet.kind, PacketKind.EchoReply)
  }
})

test("the tunnel's padding is not part of the packet", () => {
  for (const ends of [v4, v6]) {
    const bytes = ipPacket(ends)
    const padded = new Uint8Array(bytes.length + 13)
    padded.set(bytes)
    assert.equal(read(padded), 0)
    assert.equal(packet.length, bytes.length)
  }
})

test('A-27 a packet cut at any length is malformed', () => {
  for (const bytes of [
    ipPacket({ ...v4, protocol: 6, body: tcp(1, 2, 2) }),
    ipPacket({ ...v6, protocol: 0, body: extension(60, extension(6, tcp(1, 2, 2))) }),
    ipPacket({ ...v6, protocol: 44, body: extension(17, udp(1, 2), [0, 1, 0, 0, 0, 9]) }),
  ])
    for (let length = 0; length < bytes.length; length++) assert.equal(read(bytes, length), DropReason.InnerMalformed)
})

test('A-27 extension headers: walked in order, never past the end, never hiding a routing header', () => {
  const inner = udp(1, 2)
  assert.equal(read(ipPacket({ ...v6, protocol: 0, body: extension(60, extension(17, inner)) })), 0)
  assert.equal(packet.kind, PacketKind.Udp)
  const refused = {
    'length past the packet': ipPacket({ ...v6, protocol: 60, body: extension(17, inner, undefined, 255) }),
    'hop-by-hop not first': ipPacket({ ...v6, protocol: 60, body: extension(0, extension(17, inner)) }),
    'routing header': ipPacket({ ...v6, protocol: 43, body: extension(17, inner) }),
    'routing header behind options': ipPacket({ ...v6, protocol: 60, body: extension(43, extension(17, inner)) }),
    'two fragment headers': ipPacket({ ...v6, protocol: 44, body: extension(44, extension(17, inner)) }),
    'too many': ipPacket({
      ...v6,
      protocol: 60,
      body: [1, 2, 3, 4].reduce((body) => extension(60, body), extension(17, inner)),
    }),
  }
  for (const [why, bytes] of Object.entries(refused)) assert.equal(read(bytes), DropReason.InnerMalformed, why)
})

test('A-27 fragments: first and later are told apart; overlap tricks and tiny first fragments are malformed', () => {
  const body = tcp(1, 22, 0x02, new Uint8Array(12))
  assert.equal(read(ipPacket({ ...v4, protocol: 6, body, fragmentField: 0x2000, id: 7 })), 0)
  assert.deepEqual([packet.fragment, packet.kind, packet.fragmentId], [1, PacketKind.Tcp, 7])
  assert.equal(read(ipPacket({ ...v4, protocol: 6, body, fragmentField: 4, id: 7 })), 0)
  assert.deepEqual([packet.fragment, packet.kind, packet.fragmentId], [2, PacketKind.Other, 7])
  const refused = {
    'offset 8 could rewrite the TCP flags': { ...v4, protocol: 6, body, fragmentField: 1 },
    'first too short for its header': { ...v4, protocol: 6, body: body.subarray(0, 16), fragmentField: 0x2000 },
    'no multiple of 8 although more follow': { ...v4, protocol: 6, body: body.subarray(0, 21), fragmentField: 0x2000 },
    'ends past 65535': { ...v4, protocol: 6, body, fragmentField: 0x1fff },
    empty: { ...v4, protocol: 6, body: new Uint8Array(0), fragmentField: 4 },
  }
  for (const [why, spec] of Object.entries(refused)) assert.equal(read(ipPacket(spec)), DropReason.InnerMalformed, why)
  // IPv6: an atomic fragment is a whole packet (RFC 6946).
  assert.equal(read(ipPacket({ ...v6, protocol: 44, body: extension(17, udp(1, 2), [0, 0, 0, 0, 0, 5]) })), 0)
  assert.deepEqual([packet.fragment, packet.kind], [0, PacketKind.Udp])
})

test('A-27 no bytes make it throw, or read past the packet', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x45, 0x46, 0x4f, 0x60), (bytes, first) => {
      if (bytes.length > 0) bytes[0] = first
      const verdict = read(bytes)
      assert.ok(verdict === 0 || verdict === DropReason.InnerMalformed)
      if (verdict === 0) assert.ok(packet.length <= bytes.length && packet.transportAt <= bytes.length)
    }),
    { numRuns: 5_000 },
  )
})
