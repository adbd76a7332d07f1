import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '#shared/bytes/concat.ts'
import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'
import { Segmenter } from '#shared/dataplane/batch/segmenter.ts'
import { VirtioGso } from '#shared/dataplane/batch/virtio-net-header.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { fuzz } from '#test/fuzz/fuzz.ts'
import { pick, randomBytes, roll } from '#test/fuzz/mutate.ts'
import { type FlowPacket, flowPacket, slowSum, timestamps, virtioHeader } from '#test/shared/dataplane/batch/flow-packets.ts'
import { heapMemory, wasmMemory } from '#test/shared/dataplane/batch/memory.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const at = 256
const spareAt = 70_000
const memories = [heapMemory(4 * 65_536), wasmMemory(4)]

/** Everything that comes of `bytes` as read from a TUN, each copied and its tail scribbled upon, as padding and trailers do. */
function segments(memory: PacketMemory, bytes: Uint8Array): Uint8Array[] | number {
  memory.bytes.set(bytes, at)
  const segmenter = new Segmenter(memory)
  const count = segmenter.begin(at, bytes.length)
  if (count < 0) return count
  const out: Uint8Array[] = []
  for (let length = segmenter.next(spareAt); length !== 0; length = segmenter.next(spareAt)) {
    out.push(memory.bytes.slice(segmenter.packetAt, segmenter.packetAt + length))
    memory.bytes.fill(0xee, segmenter.packetAt + length, segmenter.packetAt + length + 16)
  }
  assert.equal(out.length, count)
  return out
}

interface Super extends FlowPacket {
  payload: Uint8Array
  size: number
  ecn?: boolean
}

/** What a kernel gives: one packet with the headers of all, and only the pseudo-header's sum as checksum. */
function superPacket(of: Super): Uint8Array {
  const kind = of.kind ?? 'tcp'
  const bytes = flowPacket({ ...of, checksum: 0x1234 })
  const headers = bytes.length - of.payload.length
  const start = headers - (kind === 'udp' ? 8 : 20 + (of.tcpOptions?.length ?? 0))
  const gso = kind === 'udp' ? VirtioGso.UdpL4 : of.version === 6 ? VirtioGso.Tcp6 : VirtioGso.Tcp4
  return concat(virtioHeader(1, gso | (of.ecn ? 0x80 : 0), headers, of.size, start, kind === 'udp' ? 6 : 16), bytes)
}

/** The packets that it must become, each made from nothing. */
function expectedPackets(of: Super): Uint8Array[] {
  const { payload, size, flags = 0x10, sequence = 1000, id = 0 } = of
  const count = Math.max(1, Math.ceil(payload.length / size))
  return Array.from({ length: count }, (_, i) => {
    const own = flags & (i < count - 1 ? ~0x09 : 0xff) & (i > 0 ? ~0x80 : 0xff)
    const part = payload.subarray(i * size, (i + 1) * size)
    return flowPacket({ ...of, payload: part, flags: own, sequence: (sequence + i * size) >>> 0, id: (id + i) & 0xffff })
  })
}

const dice = seeded(5)

test('TSO and USO in both families: the packets are those made from nothing, whatever is written behind them', () => {
  for (const memory of memories) {
    for (const version of [4, 6] as const) {
      for (const kind of ['tcp', 'udp'] as const) {
        for (const [length, size] of [
          [10_000, 1400],
          [1401, 1400],
          [1409, 1400],
          [2807, 1400],
          [2800, 1400],
          [1400, 1400],
          [7, 1400],
          [200, 2],
          [100, 3],
          [4001, 1333],
          [65_000, 1228],
        ] as const) {
          const of = {
            ...{ version, kind, size, payload: randomBytes(dice, length), tcpOptions: timestamps, flags: 0x18 },
            ...{ sequence: 0xffff_f000, id: 0xfffe, tos: 2, ttl: 3, flowLabel: 0x12345 },
          }
          const expected = expectedPackets(of)
          assert.deepEqual(segments(memory, superPacket(of)), expected, `IPv${version} ${kind} ${length} by ${size}`)
        }
      }
    }
  }
})

test('FIN and PSH are the last packet’s, CWR the first one’s', () => {
  for (const flags of [0x19, 0x90, 0xd9, 0x99, 0x50]) {
    const of = { payload: randomBytes(dice, 50), size: 20, flags, ecn: (flags & 0x80) !== 0 }
    assert.deepEqual(segments(memories[0]!, superPacket(of)), expectedPackets(of), `flags ${flags}`)
  }
})

test('the urgent pointer, IPv4 options and IPv6 options of the destination are each packet’s', () => {
  const payload = randomBytes(dice, 99)
  for (const of of [
    { payload, size: 40, flags: 0x30, urgent: 5 },
    { payload, size: 40, ipOptions: Uint8Array.of(1, 1, 1, 1, 1, 1, 1, 0) },
    { payload, size: 40, version: 6 as const, ipOptions: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) },
    { payload, size: 40, version: 6 as const, kind: 'udp' as const, ipOptions: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) },
  ]) {
    assert.deepEqual(segments(memories[0]!, superPacket(of)), expectedPackets(of))
  }
})

test('no payload at all is one packet', () => {
  const of = { payload: new Uint8Array(0), size: 1400 }
  assert.deepEqual(segments(memories[0]!, superPacket(of)), expectedPackets(of))
})

test('a UDP checksum is never 0', () => {
  const pair = new Uint8Array(4)
  const of = { kind: 'udp' as const, payload: pair, size: 2 }
  // The payload that makes the checksum of the first datagram 0: what is wanting to 0xffff.
  const first = expectedPackets(of)[0]!
  pair.set(first.subarray(26, 28), 0)
  const made = segments(memories[0]!, superPacket(of)) as Uint8Array[]
  assert.deepEqual(made, expectedPackets(of))
  assert.deepEqual([...made[0]!.subarray(26, 28)], [0xff, 0xff])
})

test('without GSO the packet stays as it is, and a checksum that is asked for is completed', () => {
  for (const memory of memories) {
    for (const version of [4, 6] as const) {
      for (const kind of ['tcp', 'udp'] as const) {
        for (const length of [0, 1, 8, 1399, 1400]) {
          const right = flowPacket({ version, kind, payload: randomBytes(dice, length) })
          assert.deepEqual(segments(memory, concat(new Uint8Array(10), right)), [right])
          const start = version === 4 ? 20 : 40
          const offset = kind === 'tcp' ? 16 : 6
          const part = right.slice()
          const pseudo = slowSum(
            Uint8Array.of(
              ...right.subarray(version === 4 ? 12 : 8, start),
              0,
              0,
              (right.length - start) >> 8,
              (right.length - start) & 0xff,
            ),
          )
          new DataView(part.buffer).setUint16(start + offset, (pseudo + (kind === 'tcp' ? 6 : 17)) % 0xffff)
          assert.deepEqual(segments(memory, concat(virtioHeader(1, 0, 0, 0, start, offset), part)), [right])
        }
      }
    }
  }
})

test('without GSO too, a UDP checksum of 0 goes as 0xffff', () => {
  const payload = flowPacket({ kind: 'udp', payload: new Uint8Array(2) }).slice(26, 28)
  const right = flowPacket({ kind: 'udp', payload })
  assert.deepEqual([...right.subarray(26, 28)], [0xff, 0xff])
  const part = right.slice()
  const pseudo = slowSum(Uint8Array.of(...right.subarray(12, 20), 0, 17, 0, 10))
  new DataView(part.buffer).setUint16(26, pseudo)
  assert.deepEqual(segments(memories[0]!, concat(virtioHeader(1, 0, 0, 0, 20, 6), part)), [right])
})

test('A-27 what does not agree is malformed', () => {
  const of = { payload: randomBytes(dice, 300), size: 100 }
  const four = superPacket(of)
  const six = superPacket({ ...of, version: 6 })
  const datagrams = superPacket({ ...of, kind: 'udp' })
  const changed = (bytes: Uint8Array, ...changes: [number, number][]): Uint8Array => {
    const copy = bytes.slice()
    for (const [where, value] of changes) copy[where] = value
    return copy
  }
  const cases: [string, Uint8Array][] = [
    ['no packet', four.subarray(0, 10)],
    ['cut short', four.subarray(0, four.length - 1)],
    ['longer than it says', concat(four, new Uint8Array(1))],
    ['size 0', changed(four, [4, 0], [5, 0])],
    ['IPv6 GSO of IPv4', changed(four, [1, VirtioGso.Tcp6])],
    ['IPv4 GSO of IPv6', changed(six, [1, VirtioGso.Tcp4])],
    ['UDP GSO of TCP', changed(four, [1, VirtioGso.UdpL4])],
    ['TCP GSO of UDP', changed(datagrams, [1, VirtioGso.Tcp4])],
    ['UDP with ECN', changed(datagrams, [1, VirtioGso.UdpL4 | 0x80])],
    ['UFO', changed(datagrams, [1, 3])],
    ['unknown kind', changed(four, [1, 9])],
    ['IP version 5', changed(four, [10, 0x55])],
    ['IPv4 header of 16', changed(four, [10, 0x44])],
    ['IPv4 header of 60 over zeros', changed(superPacket({ payload: new Uint8Array(300), size: 100 }), [10, 0x4f])],
    ['a fragment', changed(four, [16, 0x20])],
    ['a later fragment', changed(four, [17, 1])],
    ['another protocol', changed(four, [19, 47])],
    ['TCP header of 16', changed(four, [42, 0x40])],
    ['TCP header beyond the packet', changed(superPacket({ payload: new Uint8Array(4), size: 4 }), [42, 0xf0])],
    ['UDP length', changed(datagrams, [35, 1])],
    ['IPv6 length', changed(six, [15, 0])],
    ['IPv6 routing header', changed(six, [16, 43])],
    ['IPv6 option beyond the packet', changed(six, [16, 60], [50, 6], [51, 255])],
    ['checksum before the transport', concat(virtioHeader(1, 0, 0, 0, 18, 6), four.subarray(10))],
    ['checksum beyond the packet', concat(virtioHeader(1, 0, 0, 0, 20, four.length - 10 - 20 - 1), four.subarray(10))],
    ['checksum far beyond the packet', concat(virtioHeader(1, 0, 0, 0, 0xfffe, 0xfffe), four.subarray(10))],
    ['checksum start odd', concat(virtioHeader(1, 0, 0, 0, 21, 6), four.subarray(10))],
    ['checksum offset odd', concat(virtioHeader(1, 0, 0, 0, 20, 15), four.subarray(10))],
  ]
  for (const [name, bytes] of cases) assert.equal(segments(memories[0]!, bytes), DropReason.InnerMalformed, name)
  assert.equal(new Segmenter(memories[0]!).begin(at + 1, 400), DropReason.InnerMalformed)
})

test('the hints of the virtio header, hdr_len and csum_start, change nothing', () => {
  const of = { payload: randomBytes(dice, 300), size: 100 }
  const bytes = superPacket(of)
  for (const where of [2, 3, 6, 7, 8, 9]) bytes[where] = 0xff
  assert.deepEqual(segments(memories[0]!, bytes), expectedPackets(of))
})

test('after a malformed packet there is nothing to get, and the next one is itself again', () => {
  const [memory] = memories as [PacketMemory]
  const segmenter = new Segmenter(memory)
  const of = { payload: randomBytes(dice, 300), size: 100 }
  const good = superPacket(of)
  memory.bytes.set(good, at)
  assert.equal(segmenter.begin(at, good.length), 3)
  segmenter.next(spareAt)
  assert.equal(segmenter.begin(at, 12), DropReason.InnerMalformed)
  assert.equal(segmenter.next(spareAt), 0)
  memory.bytes.set(good, at)
  assert.equal(segmenter.begin(at, good.length), 3)
  assert.equal(segmenter.next(spareAt), 140)
  assert.deepEqual(memory.bytes.slice(segmenter.packetAt, segmenter.packetAt + 140), expectedPackets(of)[0])
})

test('A-27 no header, however wrong, makes it touch a byte outside of what was read and the spare room', () => {
  const memory = wasmMemory(4)
  const segmenter = new Segmenter(memory)
  const guard = 128
  const spareLength = 65_535
  memory.bytes.fill(0xa5)
  const guarded = (from: number, to: number): void => {
    for (let i = from; i < to; i++) if (memory.bytes[i] !== 0xa5) assert.fail(`byte ${i} was written`)
  }
  const payload = randomBytes(dice, 700)
  const kinds = [VirtioGso.None, VirtioGso.Tcp4, VirtioGso.Tcp4 | 0x80, VirtioGso.Tcp6, VirtioGso.UdpL4, 3, 0xff]
  const seeds = [4, 6].flatMap((version) =>
    ['tcp', 'udp'].flatMap((kind) =>
      [100, 3].map((size) => superPacket({ version, kind, payload, size, tcpOptions: timestamps } as Super)),
    ),
  )
  let made = 0
  fuzz({
    name: 'segmenter',
    seeds: [...seeds, concat(virtioHeader(1, 0, 0, 0, 20, 16), flowPacket({ payload }))],
    grammar: (dice) => {
      const bytes = pick(dice, seeds).slice(0, 10 + roll(dice, 800))
      bytes.set(
        virtioHeader(roll(dice, 2), pick(dice, kinds), roll(dice, 900), roll(dice, 900), roll(dice, 900), roll(dice, 900)),
      )
      if (dice() < 0.5) bytes.set(randomBytes(dice, 10))
      return bytes
    },
    run: (input) => {
      const length = input.length
      memory.bytes.set(input, at)
      const count = segmenter.begin(at, length)
      if (count > 0) made++
      else assert.equal(count, DropReason.InnerMalformed)
      let taken = 0
      for (let one = segmenter.next(spareAt); one !== 0; one = segmenter.next(spareAt)) {
        taken++
        const { packetAt } = segmenter
        const inside = packetAt >= at + 10 && packetAt + one <= at + length
        assert.ok(inside || (packetAt === spareAt && one <= spareLength))
      }
      assert.equal(taken, Math.max(count, 0))
      guarded(at - guard, at)
      guarded(at + length, at + length + guard)
      guarded(spareAt - guard, spareAt)
      memory.bytes.fill(0xa5, at, at + length)
      memory.bytes.fill(0xa5, spareAt, spareAt + 1000)
    },
  })
  guarded(0, memory.bytes.length)
  assert.ok(made > 500)
})
