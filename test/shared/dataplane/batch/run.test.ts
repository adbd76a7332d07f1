import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '#shared/bytes/concat.ts'
import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'
import { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { Run } from '#shared/dataplane/batch/run.ts'
import { Segmenter } from '#shared/dataplane/batch/segmenter.ts'
import { fuzz } from '#test/fuzz/fuzz.ts'
import { pick, randomBytes, roll } from '#test/fuzz/mutate.ts'
import { type FlowPacket, flowPacket, slowSum, timestamps } from '#test/shared/dataplane/batch/flow-packets.ts'
import { heapMemory, wasmMemory } from '#test/shared/dataplane/batch/memory.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const memories = [heapMemory(8 * 65_536), wasmMemory(8)]
const [heap] = memories as [PacketMemory]
const headerAt = 64
const firstAt = 1024
const superAt = 4 * 65_536
const spareAt = 6 * 65_536
const dice = seeded(6)

/** All writes to the TUN that `packets` become, virtio headers and all, each run with how many packets it took. */
function coalesce(
  memory: PacketMemory,
  packets: Uint8Array[],
  run = new Run(memory, { udp: true }),
): { write: Uint8Array; taken: number }[] {
  const packet = new PlainPacket()
  const out: { write: Uint8Array; taken: number }[] = []
  const finish = (): void => {
    const taken = run.pieces
    const parts = [memory.bytes.slice(headerAt, headerAt + run.finish(headerAt))]
    for (let i = 0; i < run.pieces; i++) {
      const from = run.pieceAt[i]!
      parts.push(memory.bytes.slice(from, from + run.pieceLength[i]!))
    }
    out.push({ write: concat(...parts), taken })
  }
  let at = firstAt
  let begun = false
  for (const bytes of packets) {
    memory.bytes.set(bytes, at)
    assert.ok(packet.read(memory, at, bytes.length))
    if (!begun || !run.append(packet, at)) {
      if (begun) finish()
      run.begin(packet, at)
      begun = true
    }
    at += (bytes.length + 33) & ~1
  }
  if (begun) finish()
  return out
}

/** What a kernel would make of one write. */
function cut(memory: PacketMemory, write: Uint8Array): Uint8Array[] {
  memory.bytes.set(write, superAt)
  const segmenter = new Segmenter(memory)
  assert.ok(segmenter.begin(superAt, write.length) > 0)
  const out: Uint8Array[] = []
  for (let length = segmenter.next(spareAt); length !== 0; length = segmenter.next(spareAt)) {
    out.push(memory.bytes.slice(segmenter.packetAt, segmenter.packetAt + length))
  }
  return out
}

/** `count` packets in a row, of `size` bytes each and a last one of `last`. */
function row(
  count: number,
  size: number,
  last: number,
  of: FlowPacket = {},
  changes: (i: number) => FlowPacket = () => ({}),
): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    flowPacket({
      ...of,
      payload: randomBytes(dice, i === count - 1 ? last : size),
      sequence: ((of.sequence ?? 0xffff_fc00) + i * size) >>> 0,
      id: ((of.id ?? 0xfffe) + i) & 0xffff,
      ...changes(i),
    }),
  )
}

const takings = (packets: Uint8Array[], run?: Run): number[] => coalesce(heap, packets, run).map(({ taken }) => taken)

test('what becomes one is cut into the same packets again, byte for byte', () => {
  for (const memory of memories) {
    for (const version of [4, 6] as const) {
      for (const kind of ['tcp', 'udp'] as const) {
        for (const [count, size, last] of [
          [2, 1400, 1400],
          [3, 1400, 1],
          [44, 1400, 700],
          [5, 1333, 1333],
          [7, 2, 1],
          [3, 1, 1],
        ] as const) {
          const packets = row(count, size, last, { version, kind, tcpOptions: timestamps, tos: 1, ttl: 7, flowLabel: 0xfffff })
          const writes = coalesce(memory, packets)
          assert.deepEqual(
            writes.map(({ taken }) => taken),
            [count],
          )
          assert.deepEqual(cut(memory, writes[0]!.write), packets, `IPv${version} ${kind} ${count} of ${size}`)
        }
      }
    }
  }
})

test('any row of packets of a flow, with gaps, losses and changes, comes out as it went in', () => {
  let runs = 0
  let taken = 0
  for (let round = 0; round < 400; round++) {
    const memory = pick(dice, memories)
    const version = pick(dice, [4, 6] as const)
    const kind = pick(dice, ['tcp', 'udp'] as const)
    const size = pick(dice, [1, 2, 100, 1000])
    const packets = row(2 + roll(dice, 20), size, 1 + roll(dice, size), { version, kind }, () => ({
      ...(dice() < 0.1 ? { flags: pick(dice, [0x18, 0x90, 0xd0, 0x50]) } : {}),
      ...(dice() < 0.05 ? { acknowledgement: roll(dice, 3) } : {}),
      ...(dice() < 0.05 ? { payload: randomBytes(dice, roll(dice, 1200)) } : {}),
      ...(dice() < 0.05 ? { ttl: 3 } : {}),
      ...(dice() < 0.05 ? { checksum: roll(dice, 65_536) } : {}),
      ...(dice() < 0.05 ? { id: roll(dice, 65_536) } : {}),
    })).filter(() => dice() < 0.95)
    const writes = coalesce(memory, packets)
    runs += writes.length
    taken += packets.length
    assert.deepEqual(
      writes.flatMap(({ write }) => cut(memory, write)),
      packets,
      `round ${round}`,
    )
  }
  assert.ok(taken > 1.5 * runs)
})

test('the virtio header and the checksum of a super-packet are what a kernel asks for', () => {
  for (const [version, kind, gso, start, offset] of [
    [4, 'tcp', 1, 20, 16],
    [6, 'tcp', 4, 40, 16],
    [4, 'udp', 5, 20, 6],
    [6, 'udp', 5, 40, 6],
  ] as const) {
    const packets = row(3, 500, 20, { version, kind, tcpOptions: timestamps })
    const { write } = coalesce(heap, packets)[0]!
    const header = packets[0]!.length - 500
    const view = new DataView(write.buffer)
    assert.deepEqual([write[0], write[1]], [1, gso])
    assert.deepEqual(
      [2, 4, 6, 8].map((i) => view.getUint16(i, true)),
      [header, 500, start, offset],
    )
    const ip = write.subarray(10)
    assert.equal(ip.length, header + 1020)
    assert.equal(view.getUint16(version === 4 ? 12 : 14), version === 4 ? ip.length : ip.length - 40)
    if (version === 4) assert.equal(slowSum(ip.subarray(0, 20)), 0xffff)
    if (kind === 'udp') assert.equal(view.getUint16(10 + start + 4), ip.length - start)
    const length = ip.length - start
    const addresses = ip.subarray(version === 4 ? 12 : 8, start)
    const pseudo = slowSum(Uint8Array.of(...addresses, 0, kind === 'tcp' ? 6 : 17, length >> 8, length & 0xff))
    assert.equal(view.getUint16(10 + start + offset), pseudo)
  }
})

test('a packet alone goes as it came, with nothing asked for', () => {
  const packets = [flowPacket({ flags: 0x10 }), flowPacket({ payload: randomBytes(dice, 9), checksum: 0xbad })]
  for (const bytes of packets) assert.deepEqual(coalesce(heap, [bytes]), [{ write: concat(new Uint8Array(10), bytes), taken: 1 }])
})

test('PSH ends a run and is the last packet’s', () => {
  const packets = row(5, 100, 100, {}, (i) => ({ flags: i === 2 ? 0x18 : 0x10 }))
  const writes = coalesce(heap, packets)
  assert.deepEqual(
    writes.map(({ taken }) => taken),
    [3, 2],
  )
  assert.equal(writes[0]!.write[10 + 33], 0x18)
  assert.equal(writes[1]!.write[10 + 33], 0x10)
  assert.deepEqual(takings(row(3, 100, 100, { flags: 0x18 })), [1, 1, 1])
})

test('a smaller packet is the last, a larger one begins anew, an empty one stands alone', () => {
  assert.deepEqual(takings(row(4, 100, 100, {}, (i) => (i === 1 ? { payload: new Uint8Array(99) } : {}))), [2, 2])
  assert.deepEqual(takings([...row(2, 100, 100), ...row(2, 200, 200, { sequence: 0xffff_fcc8, id: 0 })]), [2, 2])
  assert.deepEqual(takings([...row(2, 100, 100), flowPacket({ sequence: 0xffff_fcc8, id: 0 })]), [2, 1])
  assert.deepEqual(takings([flowPacket(), flowPacket({ id: 1, payload: new Uint8Array(5) })]), [1, 1])
})

test('the sequence has no gap and no overlap', () => {
  for (const sequence of [1199, 1201, 1100, 1300, 0x8000_04b0]) {
    assert.deepEqual(takings(row(3, 100, 100, { sequence: 1000 }, (i) => (i === 2 ? { sequence } : {}))), [2, 1], `${sequence}`)
  }
})

test('a packet that differs in any header that cutting would not give back begins a new run', () => {
  const both: [string, FlowPacket][] = [
    ['ECN', { tos: 3 }],
    ['DSCP', { tos: 4 }],
    ['hop limit', { ttl: 63 }],
    ['source port', { sourcePort: 40_001 }],
    ['checksum', { checksum: 0xbad }],
  ]
  const tcp: [string, FlowPacket][] = [
    ['acknowledgement', { acknowledgement: 8 }],
    ['upper acknowledgement', { acknowledgement: 0x1_0007 }],
    ['window', { window: 513 }],
    ['ECE', { flags: 0x50 }],
    ['CWR', { flags: 0x90 }],
    ['urgent pointer', { urgent: 1 }],
    ['a timestamp', { tcpOptions: Uint8Array.of(...timestamps.subarray(0, 11), 5) }],
    ['an option less', { tcpOptions: timestamps.subarray(0, 8) }],
    ['an option more', { tcpOptions: Uint8Array.of(...timestamps, 1, 1, 1, 1) }],
  ]
  const ipv4: [string, FlowPacket][] = [
    ['an identification that jumps', { id: 9 }],
    ['an identification that stays', { id: 0xfffe }],
    ['may be fragmented', { dontFragment: false }],
  ]
  const ipv6: [string, FlowPacket][] = [['flow label', { flowLabel: 1 }]]
  for (const version of [4, 6] as const) {
    for (const kind of ['tcp', 'udp'] as const) {
      const cases = [...both, ...(kind === 'tcp' ? tcp : []), ...(version === 4 ? ipv4 : ipv6)]
      for (const [name, change] of cases) {
        const packets = row(3, 100, 100, { version, kind, tcpOptions: timestamps }, (i) => (i === 2 ? change : {}))
        assert.deepEqual(takings(packets), [2, 1], `IPv${version} ${kind}: ${name}`)
      }
    }
  }
  const mixed = [row(2, 100, 100), row(2, 100, 100, { version: 6 }), row(2, 100, 100, { kind: 'udp' })].flat()
  assert.deepEqual(takings(mixed), [2, 2, 2])
  const moved = row(2, 100, 100)
  moved[1]![15] = 9
  assert.deepEqual(takings(moved), [1, 1])
})

test('CWR stands alone, whether it comes first or later', () => {
  assert.deepEqual(takings(row(3, 100, 100, { flags: 0x90 })), [1, 1, 1])
})

test('identifications: they count up, or stay where nothing may be fragmented', () => {
  const constant = (i: number): FlowPacket => (i >= 0 ? { id: 7 } : {})
  assert.deepEqual(takings(row(4, 100, 100, { dontFragment: true }, constant)), [4])
  assert.deepEqual(takings(row(4, 100, 100, { dontFragment: false }, constant)), [1, 1, 1, 1])
  assert.deepEqual(takings(row(4, 100, 100, { dontFragment: false })), [4])
  assert.deepEqual(takings(row(4, 100, 100, {}, (i) => ({ id: [5, 5, 6, 7][i]! }))), [2, 2])
  assert.deepEqual(takings(row(4, 100, 100, {}, (i) => ({ id: [5, 6, 5, 6][i]! }))), [2, 2])
})

test('a wrong checksum is never healed: such a packet stands alone, wherever it comes', () => {
  for (const version of [4, 6] as const) {
    for (const kind of ['tcp', 'udp'] as const) {
      for (const bad of [0, 1, 2]) {
        const packets = row(4, 100, 100, { version, kind }, (i) => (i === bad ? { checksum: 0xbad } : {}))
        assert.deepEqual(
          takings(packets),
          [
            [1, 3],
            [1, 1, 2],
            [2, 1, 1],
          ][bad],
        )
      }
    }
  }
  const packets = row(3, 100, 100)
  packets[1]![10]! ^= 1
  assert.deepEqual(takings(packets), [1, 1, 1], 'of the IPv4 header')
  const flipped = row(3, 100, 100)
  flipped[2]![139]! ^= 1
  assert.deepEqual(takings(flipped), [2, 1], 'a payload bit')
})

test('datagrams without a checksum stay alone, and all datagrams where the TUN has no USO', () => {
  assert.deepEqual(takings(row(3, 100, 100, { kind: 'udp', checksum: 0 })), [1, 1, 1])
  assert.deepEqual(takings(row(3, 100, 100, { kind: 'udp' }), new Run(heap, { udp: false })), [1, 1, 1])
  assert.deepEqual(takings(row(3, 100, 100), new Run(heap, { udp: false })), [3])
})

test('a run holds as many packets as it was made for, and no more than 64, and never more than 65535 bytes', () => {
  assert.deepEqual(takings(row(7, 100, 100), new Run(heap, { udp: false, capacity: 3 })), [3, 3, 1])
  assert.deepEqual(takings(row(3, 100, 100), new Run(heap, { udp: false, capacity: 1 })), [1, 1, 1])
  assert.deepEqual(takings(row(100, 10, 10), new Run(heap, { udp: false, capacity: 200 })), [64, 36])
  for (const version of [4, 6] as const) {
    const header = version === 4 ? 40 : 60
    const size = 9000
    const writes = coalesce(heap, row(9, size, size, { version }))
    assert.deepEqual(
      writes.map(({ taken }) => taken),
      [7, 2],
    )
    const exact = row(8, size, 65_535 - header - 7 * size, { version })
    assert.deepEqual(takings(exact), [8])
    assert.deepEqual(takings(row(8, size, 65_536 - header - 7 * size, { version })), [7, 1])
  }
})

test('`full` says that a run may be finished at once', () => {
  const packet = new PlainPacket()
  const run = new Run(heap, { udp: false, capacity: 2 })
  const begin = (of: FlowPacket): boolean => {
    const bytes = flowPacket(of)
    heap.bytes.set(bytes, firstAt)
    assert.ok(packet.read(heap, firstAt, bytes.length))
    run.begin(packet, firstAt)
    return run.full
  }
  assert.equal(begin({}), true)
  assert.equal(begin({ payload: new Uint8Array(9), flags: 0x18 }), true)
  assert.equal(begin({ kind: 'udp', payload: new Uint8Array(9) }), true)
  assert.equal(begin({ payload: new Uint8Array(9) }), false)
})

test('a kernel’s super-packet, cut and put together again, is the one that it was', () => {
  for (const version of [4, 6] as const) {
    for (const kind of ['tcp', 'udp'] as const) {
      const packets = row(40, 1400, 77, { version, kind, tcpOptions: timestamps })
      const { write } = coalesce(heap, packets)[0]!
      const again = coalesce(heap, cut(heap, write))
      assert.deepEqual(again, [{ write, taken: 40 }])
    }
  }
})

/** The packet without padding, and, where it cannot be fragmented, without the identification that then means nothing (RFC 6864). */
function meant(packet: Uint8Array): Uint8Array {
  const view = new DataView(packet.buffer, packet.byteOffset)
  if (packet[0]! >>> 4 === 6) return packet.slice(0, 40 + view.getUint16(4))
  const out = packet.slice(0, view.getUint16(2))
  if ((out[6]! & 0x40) !== 0) out.fill(0, 4, 6).fill(0, 10, 12)
  return out
}

test('A-27 changed packets never throw, and what a run gives is what came', () => {
  const memory = memories[1]!
  const packet = new PlainPacket()
  const run = new Run(memory, { udp: true })
  const seeds = [
    ...row(4, 60, 60, { tcpOptions: timestamps }),
    ...row(4, 60, 60, { version: 6 }),
    ...row(4, 60, 60, { kind: 'udp' }),
  ]
  let merged = 0
  fuzz({
    name: 'run',
    seeds,
    run: (input) => {
      const packets = [pick(dice, seeds), input, pick(dice, seeds), input].filter((bytes) => {
        memory.bytes.set(bytes, firstAt)
        return packet.read(memory, firstAt, bytes.length)
      })
      const writes = coalesce(memory, packets, run)
      merged += packets.length - writes.length
      const came = packets.map(meant)
      assert.deepEqual(writes.flatMap(({ write }) => cut(memory, write)).map(meant), came)
    },
  })
  assert.ok(merged > 100)
})
