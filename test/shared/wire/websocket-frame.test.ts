import assert from 'node:assert/strict'
import test from 'node:test'
import { WireError } from '#shared/bytes/wire-error.ts'
import { encodeClientFrame, Opcode, ServerFrameReader } from '#shared/wire/websocket-frame.ts'
import fc from '#test/lab/properties.ts'

type Message = [opcode: number, payload: number[]]

const read = (reader: ServerFrameReader, ...chunks: readonly Uint8Array[]): Message[] => {
  const messages: Message[] = []
  for (const chunk of chunks) reader.push(chunk, (opcode, payload) => messages.push([opcode, [...payload]]))
  return messages
}

const fresh = (limit = 1_000): ServerFrameReader => new ServerFrameReader({ limit })
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replace(/ /g, ''), 'hex'))

/** What a server sends: RFC 6455 §5.2, plainly. */
function serverFrame(first: number, payload: Uint8Array): Uint8Array {
  const { length } = payload
  if (length < 126) return Buffer.concat([Buffer.of(first, length), payload])
  if (length < 0x1_0000) return Buffer.concat([Buffer.of(first, 126, length >> 8, length & 0xff), payload])
  const head = Buffer.alloc(10)
  head[0] = first
  head[1] = 127
  head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

test('the examples of RFC 6455 §5.7', () => {
  const hello = [...Buffer.from('Hello')]
  assert.deepEqual(read(fresh(), hex('81 05 48 65 6c 6c 6f')), [[Opcode.Text, hello]])
  assert.deepEqual(read(fresh(), hex('01 03 48 65 6c'), hex('80 02 6c 6f')), [[Opcode.Text, hello]])
  assert.deepEqual(read(fresh(), hex('89 05 48 65 6c 6c 6f')), [[Opcode.Ping, hello]])
  assert.deepEqual(
    encodeClientFrame(Opcode.Text, Buffer.from('Hello'), hex('37 fa 21 3d')),
    hex('81 85 37 fa 21 3d 7f 9f 4d 51 58'),
  )
  for (const length of [256, 65_536])
    assert.equal(read(fresh(70_000), serverFrame(0x82, new Uint8Array(length)))[0]![1].length, length)
})

test('however a stream is cut, the same messages come out; control frames may stand between fragments', () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 })
  fc.assert(
    fc.property(payloads, fc.integer({ min: 1, max: 90 }), (sent, cut) => {
      const frames = sent.flatMap((payload, i) =>
        i % 2 === 0
          ? [serverFrame(0x82, payload)]
          : [serverFrame(0x02, payload.subarray(0, 3)), serverFrame(0x8a, Buffer.of(1)), serverFrame(0x80, payload.subarray(3))],
      )
      const stream = Buffer.concat(frames)
      const chunks = Array.from({ length: Math.ceil(stream.length / cut) }, (_, i) => stream.subarray(i * cut, (i + 1) * cut))
      const got = read(fresh(), ...chunks.map((chunk) => new Uint8Array(chunk)))
      const data = got.filter(([opcode]) => opcode === Opcode.Binary).map(([, payload]) => payload)
      assert.deepEqual(
        data,
        sent.map((payload) => [...payload]),
      )
    }),
  )
})

test('A-63 each broken rule has its code; too long is refused at the header, in one frame or many', () => {
  const cases: [bytes: string, code: string][] = [
    ['c2 01 00', 'reserved-bits'],
    ['82 81 00 00 00 00 00', 'masked'],
    ['83 00', 'opcode-unknown'],
    ['8b 00', 'opcode-unknown'],
    ['82 7e 03 e9', 'length-invalid'],
    ['82 7f 00 00 00 01 00 00 00 00', 'length-invalid'],
    [`02 7e 03 e8${'00'.repeat(1_000)}80 01`, 'length-invalid'],
    ['80 00', 'fragment-invalid'],
    ['02 01 00 82 01 00', 'fragment-invalid'],
    ['09 00', 'fragment-invalid'],
    ['89 7e 00 80', 'fragment-invalid'],
  ]
  for (const [bytes, code] of cases) assert.throws(() => read(fresh(), hex(bytes)), { code }, bytes)
})

test('fuzz: strange bytes are refused by a WireError and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (chunks) => {
      const reader = fresh(100)
      try {
        for (const [, payload] of read(reader, ...chunks)) assert.ok(payload.length <= 125)
      } catch (error) {
        assert.ok(error instanceof WireError)
      }
    }),
  )
})
