import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '#shared/bytes/concat.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import {
  CborError,
  CborFloat,
  type CborLimits,
  CborSimple,
  CborTag,
  type CborValue,
  decodeCbor,
  defaultLimits,
  encodeCanonicalCbor,
  encodeCbor,
} from '#shared/telemetry/cbor.ts'
import fc from '#test/lab/properties.ts'

const decode = (hex: string, limits?: Partial<CborLimits>): CborValue => decodeCbor(fromHex(hex), limits)

function refuses(hex: string, code: CborError['code'], limits?: Partial<CborLimits>): void {
  assert.throws(() => decode(hex, limits), { name: 'CborError', code }, hex.slice(0, 60))
}

test('A-62 depth is bounded: 100,000 nested arrays, maps and tags cost nothing', () => {
  const started = process.memoryUsage().heapUsed
  for (const byte of ['81', '9f', 'bf', 'a1', 'd8ff']) refuses(byte.repeat(100_000), byte === 'd8ff' ? 'tag' : 'depth')
  refuses('c1'.repeat(100_000), 'depth', { tags: true })
  assert.ok(process.memoryUsage().heapUsed - started < 64 << 20)
  assert.deepEqual(decode(`${'81'.repeat(16)}00`), [[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]])
  refuses(`${'81'.repeat(17)}00`, 'depth')
})

test('A-62 a header is never believed beyond the bytes that are there', () => {
  for (const head of ['9affffffff', '9bffffffffffffffff', 'baffffffff', 'bbffffffffffffffff', '5affffffff', '7bffffffffffffffff'])
    refuses(head, 'short')
  // An array header that claims exactly the bytes left, at every level: each level alone is plausible.
  const levels = Array.from({ length: 16 }, (_, i) => `99${(4096 - 3 * i - 3).toString(16).padStart(4, '0')}`).join('')
  const body = '00'.repeat(4096 - levels.length / 2)
  refuses(levels + body, 'short')
  refuses(`99${(5000).toString(16)}${'00'.repeat(5000)}`, 'items')
})

test('A-62 items are budgeted over the whole message, chunks and keys included', () => {
  const array = (count: number) => `99${count.toString(16).padStart(4, '0')}${'00'.repeat(count)}`
  assert.equal((decode(array(4095)) as unknown[]).length, 4095)
  refuses(array(4096), 'items')
  refuses(`9f${'00'.repeat(4096)}ff`, 'items')
  refuses(`5f${'40'.repeat(4096)}ff`, 'items')
  refuses(`81${array(4095)}`, 'items')
  refuses('00', 'size', { bytes: 0 })
})

test('A-62 duplicate keys are refused, however each is written', () => {
  for (const hex of [
    'a200000000',
    'a2000018000a',
    'a20000190000ff',
    'a2616100616101',
    'a26161007f6161ff01',
    'a241610041615f',
    'bf61610061610aff',
  ])
    assert.throws(() => decode(hex), CborError, hex)
  refuses('a2000018000a', 'duplicate-key')
  refuses('a201001b000000000000000100', 'duplicate-key')
  refuses('a20100f93c0000', 'duplicate-key')
  refuses('a2f97e0000fb7ff800000000000000', 'duplicate-key')
  refuses('a26161007f6161ff01', 'duplicate-key')
  assert.equal((decode('a2616100416101') as Map<unknown, unknown>).size, 2, 'the text "a" and the byte "a" are two keys')
})

test('A-62 tags build nothing: refused, or inert where asked for', () => {
  for (const hex of [
    'd81b82664f626a65637480',
    'd81c80',
    'd81d00',
    'c074323031332d30332d32315432303a30343a30305a',
    'd9010280',
    'd84041ff',
  ])
    refuses(hex, 'tag')
  assert.deepEqual(decode('d81b82664f626a65637480', { tags: true }), new CborTag(27, ['Object', []]))
  assert.deepEqual(decode('81d81c81d81d00', { tags: true }), [new CborTag(28, [new CborTag(29, 0)])])
  assert.deepEqual(decode('c11a514b67b0', { tags: true }), new CborTag(1, 1363896240))
  refuses('f0', 'tag')
  assert.deepEqual(decode('f8ff', { tags: true }), new CborSimple(255))
})

test('A-62 bignums are numbers of bounded size; __proto__ and NaN are keys like others', () => {
  assert.equal(decode('c249010000000000000000'), 2n ** 64n)
  assert.equal(decode('c349010000000000000000'), -(2n ** 64n) - 1n)
  assert.equal(decode('c24101'), 1)
  refuses(`c25841${'ff'.repeat(65)}`, 'size')
  refuses('c200', 'malformed')
  const map = decode('a2695f5f70726f746f5f5fa16161f5f97e0001') as Map<unknown, unknown>
  assert.ok(map instanceof Map)
  assert.deepEqual(map.get('__proto__'), new Map([['a', true]]))
  assert.equal(map.get(Number.NaN), 1)
  assert.equal(({} as Record<string, unknown>).a, undefined)
})

test('texts must be UTF-8, and one item is all there is', () => {
  for (const text of ['61ff', '62c080', '63eda080', '7f61c361bcff']) refuses(text, 'utf8')
  refuses('0000', 'trailing')
  refuses('', 'short')
})

test('integers are numbers while safe, bigints beyond', () => {
  assert.equal(decode('1b001fffffffffffff'), Number.MAX_SAFE_INTEGER)
  assert.equal(decode('1b0020000000000000'), 2n ** 53n)
  assert.equal(decode('1b000000000000000a'), 10)
  assert.equal(decode('3b001ffffffffffffe'), -Number.MAX_SAFE_INTEGER)
  assert.equal(decode('3bffffffffffffffff'), -(2n ** 64n))
  assert.equal(decode('3affffffff'), -4294967296)
})

test('decoded bytes are copies', () => {
  for (const hex of ['44010203045f', '825f4101ff4102']) {
    const input = fromHex(hex.startsWith('44') ? '4401020304' : hex)
    const value = decodeCbor(input)
    const again = decodeCbor(input)
    input.fill(0)
    assert.deepEqual(value, again)
  }
})

/** Values of our own messages; the bytes of -0 differ between the encoders. */
const plain = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<CborValue>(null, true, false, undefined),
    fc.maxSafeInteger(),
    fc.double().filter((n) => !Object.is(n, -0)),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), tie('value')), { maxLength: 6 }).map((entries) => new Map(entries)),
  ),
})).value

test('what either encoder writes, the decoder reads, with and without cbor-x', () => {
  fc.assert(
    fc.property(plain, (value) => {
      for (const bytes of [encodeCbor(value), encodeCanonicalCbor(value)]) {
        assert.deepEqual(decodeCbor(bytes), value)
        // A tag around it forces the reader that is not cbor-x.
        assert.deepEqual(decodeCbor(concat(Uint8Array.of(0xc6), bytes), { tags: true }), new CborTag(6, value))
      }
    }),
    { numRuns: 500 },
  )
})

test('the canonical encoding of what was read is a fixed point', () => {
  fc.assert(
    fc.property(plain, (value) => {
      const bytes = encodeCanonicalCbor(value)
      assert.deepEqual(encodeCanonicalCbor(decodeCbor(bytes, { exactFloats: true })), bytes)
    }),
  )
})

test('the canonical encoder sorts keys, shortens numbers and refuses what CBOR cannot say', () => {
  const hexOf = (value: CborValue) => toHex(encodeCanonicalCbor(value))
  assert.equal(hexOf({ bb: 1, a: 2, c: 3 }), 'a3616102616303626262' + '01')
  assert.equal(
    hexOf(
      new Map<CborValue, CborValue>([
        ['z', 0],
        [100, 0],
        [10, 0],
        [-1, 0],
        [false, 0],
      ]),
    ),
    'a50a001864002000617a00f400',
  )
  assert.equal(
    hexOf([0, -0, 1.5, 65504, 1e300, 2 ** 53, 2 ** -24, Number.NaN]),
    '8800f98000f93e0019ffe0fb7e37e43c8800759cfa5a000000f90001f97e00',
  )
  assert.equal(hexOf(new CborFloat(1)), 'f93c00')
  assert.throws(() => encodeCanonicalCbor('\ud800'), { name: 'CborError', code: 'type' })
  assert.throws(() => encodeCanonicalCbor((() => 1) as never), { code: 'type' })
})

test('any bytes are read or refused with a CborError, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, tags) => {
      try {
        decodeCbor(bytes, { tags })
      } catch (error) {
        assert.ok(error instanceof CborError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
  assert.equal(defaultLimits.depth, 16)
  assert.equal(defaultLimits.items, 4096)
})
