import assert from 'node:assert/strict'
import test from 'node:test'
import { WireError } from '#shared/bytes/wire-error.ts'
import { encodeTcpFrame, longestFramed, streamPrefix, TcpFrameReader } from '#shared/wire/ike-tcp-frame.ts'
import fc from '#test/lab/properties.ts'

const read = (reader: TcpFrameReader, bytes: Uint8Array): Uint8Array[] => {
  const datagrams: Uint8Array[] = []
  reader.push(bytes, (datagram) => datagrams.push(datagram))
  return datagrams
}

test('the length counts its own two bytes (RFC 9329 §3), and the prefix is IKETCP (§4)', () => {
  assert.deepEqual(encodeTcpFrame(Uint8Array.of(9, 8, 7)), Uint8Array.of(0, 5, 9, 8, 7))
  assert.equal(Buffer.from(streamPrefix).toString('latin1'), 'IKETCP')
  assert.throws(() => encodeTcpFrame(new Uint8Array(longestFramed + 1)), WireError)
  assert.equal(encodeTcpFrame(new Uint8Array(longestFramed)).length, 65_535)
})

test('however a stream is cut, the same datagrams come out', () => {
  const datagrams = fc.array(fc.uint8Array({ minLength: 1, maxLength: 700 }), { maxLength: 6 })
  fc.assert(
    fc.property(datagrams, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), fc.boolean(), (sent, cuts, opener) => {
      const stream = Buffer.concat([...(opener ? [streamPrefix] : []), ...sent.map(encodeTcpFrame)])
      const reader = new TcpFrameReader({ opener })
      const got: Uint8Array[] = []
      for (let at = 0, i = 0; at < stream.length; i++) {
        const end = at + cuts[i % cuts.length]!
        got.push(...read(reader, new Uint8Array(stream.subarray(at, end))))
        at = end
      }
      assert.deepEqual(
        got.map((d) => [...d]),
        sent.map((d) => [...d]),
      )
    }),
  )
})

test('an empty frame is nothing; a length below 2, one above the limit and another prefix end the stream', () => {
  assert.deepEqual(read(new TcpFrameReader({ opener: false }), Uint8Array.of(0, 2, 0, 3, 5)), [Uint8Array.of(5)])
  for (const bytes of [Uint8Array.of(0, 0), Uint8Array.of(0, 1, 7), Uint8Array.of(0, 13)])
    assert.throws(() => read(new TcpFrameReader({ opener: false, limit: 10 }), bytes), { code: 'length-invalid' })
  assert.throws(() => read(new TcpFrameReader({ opener: true }), Buffer.from('GET / HT')), { code: 'prefix-invalid' })
  assert.throws(() => read(new TcpFrameReader({ opener: true }), Buffer.from('IKETCQ')), { code: 'prefix-invalid' })
})

test('fuzz: strange bytes are refused by a WireError and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 8 }), fc.boolean(), (chunks, opener) => {
      const reader = new TcpFrameReader({ opener, limit: 64 })
      try {
        for (const chunk of chunks) for (const datagram of read(reader, chunk)) assert.ok(datagram.length <= 64)
      } catch (error) {
        assert.ok(error instanceof WireError)
      }
    }),
  )
})
