import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { guardPacketSize, PacketSizeGuard, packetLimits } from '#shared/telemetry/packet-size-guard.ts'
import fc from '#test/lab/properties.ts'

/** An MQTT packet of `length` bytes after its fixed header. */
function packet(length: number): Uint8Array {
  const header = [0x30]
  let left = length
  do {
    header.push((left % 128) | (left >= 128 ? 0x80 : 0))
    left = Math.floor(left / 128)
  } while (left > 0)
  return Buffer.concat([Uint8Array.from(header), new Uint8Array(length)])
}

test('A-55 the announced length is judged at its last byte: 4 KB before CONNECT, 128 KB after', () => {
  assert.equal(new PacketSizeGuard().accepts(packet(packetLimits.beforeConnect)), true)
  assert.equal(new PacketSizeGuard().accepts(packet(packetLimits.beforeConnect + 1).subarray(0, 3)), false)
  const raised = new PacketSizeGuard()
  raised.raise()
  assert.equal(raised.accepts(packet(packetLimits.afterConnect)), true)
  assert.equal(raised.accepts(packet(packetLimits.afterConnect + 1).subarray(0, 4)), false)
})

test('A-55 a Remaining Length of more than four bytes is refused, also one that says zero', () => {
  assert.equal(new PacketSizeGuard().accepts(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x00)), false)
})

test('A-55 any splitting of the stream is judged the same', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(6_000), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1 }),
      (lengths, cuts) => {
        const stream = Buffer.concat(lengths.map(packet))
        const guard = new PacketSizeGuard()
        let accepted = true
        for (let at = 0, i = 0; at < stream.length && accepted; i++) {
          const size = cuts[i % cuts.length]!
          accepted = guard.accepts(stream.subarray(at, at + size))
          at += size
        }
        assert.equal(
          accepted,
          lengths.every((length) => length <= packetLimits.beforeConnect),
        )
      },
    ),
    { numRuns: 300 },
  )
})

test('A-55 the reader of a guarded stream never sees the chunk that announces too much', async () => {
  const stream = new PassThrough()
  let refused = 0
  guardPacketSize(stream, () => refused++)
  const seen: Buffer[] = []
  stream.on('readable', () => {
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) seen.push(chunk)
  })
  const closed = new Promise((resolve) => stream.once('close', resolve))
  stream.on('error', () => undefined)
  stream.write(packet(10))
  await new Promise((resolve) => setImmediate(resolve))
  stream.write(packet(5_000))
  await closed
  assert.equal(refused, 1)
  assert.deepEqual(Buffer.concat(seen), Buffer.from(packet(10)))
})
