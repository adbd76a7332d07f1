import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { InnerPacket, PacketKind } from '#shared/dataplane/inner-packet.ts'
import { fuzz } from '#test/fuzz/fuzz.ts'
import { flowPacket, timestamps } from '#test/shared/dataplane/batch/flow-packets.ts'
import { heapMemory } from '#test/shared/dataplane/batch/memory.ts'
import { echo, ipPacket } from '#test/shared/dataplane/packets.ts'

const memory = heapMemory(70_000)
const packet = new PlainPacket()
const at = 130
const payload = Uint8Array.from({ length: 9 }, (_, i) => i)

const read = (bytes: Uint8Array, where = at, length = bytes.length): boolean => {
  memory.bytes.set(bytes, where)
  return packet.read(memory, where, length)
}
/** Four bytes as they lie. */
const word = (...bytes: number[]): number => new DataView(Uint8Array.from(bytes).buffer).getInt32(0, true)

test('what is read of TCP and UDP, in both families', () => {
  assert.ok(read(flowPacket({ payload, tcpOptions: timestamps, flags: 0xd8, ttl: 9 })))
  assert.deepEqual(
    { ...packet },
    {
      version: 4,
      protocol: 6,
      ...{ s0: word(10, 0, 0, 1), s1: 0, s2: 0, s3: 0, d0: word(10, 0, 0, 2), d1: 0, d2: 0, d3: 0 },
      ports: (40_000 << 16) | 22,
      isReply: false,
      ...{ headerLength: 20, transportLength: 32, payloadAt: at + 52, length: 61, hopLimit: 9, tcpFlags: 0xd8 },
    },
  )
  assert.ok(read(flowPacket({ version: 6, kind: 'udp', payload })))
  assert.deepEqual(
    { ...packet },
    {
      version: 6,
      protocol: 17,
      ...{ s0: word(0xfd, 0, 0, 0), s1: 0, s2: 0, s3: word(0, 0, 0, 1) },
      ...{ d0: word(0xfd, 0, 0, 0), d1: 0, d2: 0, d3: word(0, 2, 0, 7) },
      ports: (40_000 << 16) | 53,
      isReply: false,
      ...{ headerLength: 40, transportLength: 8, payloadAt: at + 48, length: 57, hopLimit: 64, tcpFlags: 0 },
    },
  )
})

test('echoes: the identifier, and whether it is the answer', () => {
  const cases = [
    ['10.0.0.1', '10.0.0.2', 1, 8, 0],
    ['fd00::1', 'fd00::2', 58, 128, 129],
  ] as const
  for (const [from, to, protocol, request, reply] of cases) {
    for (const type of [request, reply]) {
      assert.ok(read(ipPacket({ from, to, protocol, body: echo(type, 0xabcd) })))
      assert.deepEqual([packet.protocol, packet.ports, packet.isReply], [protocol, 0xabcd, type === reply])
      const coded = echo(type, 1)
      coded[1] = 1
      assert.ok(!read(ipPacket({ from, to, protocol, body: coded })))
    }
    assert.ok(!read(ipPacket({ from, to, protocol, body: echo(3, 1) })))
    assert.ok(!read(ipPacket({ from, to, protocol: protocol === 1 ? 58 : 1, body: echo(request, 1) })))
  }
})

test('only segments in the midst of a connection are plain', () => {
  for (let flags = 0; flags < 256; flags++) {
    const expected = (flags & 0x27) === 0 && (flags & 0x10) !== 0
    assert.equal(read(flowPacket({ flags, payload })), expected, `flags ${flags}`)
  }
})

test('options, extension headers, fragments and other protocols are for the main thread', () => {
  assert.ok(!read(flowPacket({ ipOptions: Uint8Array.of(1, 1, 1, 0) })))
  assert.ok(!read(flowPacket({ version: 6, ipOptions: new Uint8Array(8) })))
  for (const fragmentField of [0x2000, 0x0003, 0x1000, 0x8000, 0x6000]) {
    assert.ok(!read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', fragmentField })), `${fragmentField}`)
  }
  assert.ok(read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', fragmentField: 0x4000 })))
  assert.ok(!read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol: 47 })))
})

test('A-27 a packet cut at any length is not plain, one with padding is, without it', () => {
  for (const version of [4, 6] as const) {
    for (const kind of ['tcp', 'udp'] as const) {
      const bytes = flowPacket({ version, kind, payload })
      for (let length = 0; length < bytes.length; length++) assert.ok(!read(bytes, at, length), `${version} ${kind} ${length}`)
      assert.ok(read(bytes, at, bytes.length + 15))
      assert.equal(packet.length, bytes.length)
    }
  }
})

test('A-27 a UDP length that is not the packet’s, and TCP headers that do not fit, are not plain', () => {
  const bytes = flowPacket({ kind: 'udp', payload })
  for (const wrong of [7, 16, 18]) {
    bytes[25] = wrong
    assert.ok(!read(bytes))
  }
  const segment = flowPacket()
  for (const words of [0, 4, 6, 15]) {
    segment[32] = words << 4
    assert.ok(!read(segment))
  }
})

test('at an odd offset nothing is plain', () => {
  assert.ok(read(flowPacket(), at))
  assert.ok(!read(flowPacket(), at + 1))
})

test('A-27 whatever is plain, InnerPacket takes, and reads the same of it', () => {
  const inner = new InnerPacket()
  const from = '10.0.0.1'
  const to = '10.0.0.2'
  let plain = 0
  fuzz({
    name: 'plain packet',
    seeds: [
      flowPacket({ payload, tcpOptions: timestamps }),
      flowPacket({ version: 6, payload }),
      flowPacket({ kind: 'udp', payload }),
      flowPacket({ version: 6, kind: 'udp', payload }),
      ipPacket({ from, to, protocol: 1, body: echo(8, 7) }),
      ipPacket({ from: 'fd00::1', to: 'fd00::2', protocol: 58, body: echo(129, 7) }),
    ],
    run: (input) => {
      if (!read(input)) return
      plain++
      const bytes = memory.bytes.subarray(at, at + input.length)
      assert.equal(inner.read(bytes, input.length), 0)
      assert.deepEqual([inner.version, inner.protocol, inner.length], [packet.version, packet.protocol, packet.length])
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      const words = (start: number): number[] => [0, 4, 8, 12].map((i) => (i < inner.width ? view.getInt32(start + i, true) : 0))
      assert.deepEqual(words(inner.sourceAt), [packet.s0, packet.s1, packet.s2, packet.s3])
      assert.deepEqual(words(inner.destinationAt), [packet.d0, packet.d1, packet.d2, packet.d3])
      assert.equal(inner.transportAt, packet.headerLength)
      assert.equal(inner.fragment, 0)
      if (inner.kind === PacketKind.Tcp || inner.kind === PacketKind.Udp) {
        assert.equal((inner.sourcePort << 16) | inner.destinationPort, packet.ports)
        assert.equal(inner.tcpFlags, packet.tcpFlags)
      } else {
        assert.equal(inner.kind, packet.isReply ? PacketKind.EchoReply : PacketKind.EchoRequest)
        assert.equal(inner.sourcePort, packet.ports)
      }
    },
  })
  assert.ok(plain > 1000)
})
