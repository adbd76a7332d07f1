import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { DerReader, readNamedBits, readOid, readSmallInteger, readTime, readWhole, Tag } from '#shared/pki/der.ts'
import { element, namedBits, oid, sequence, setOf, smallInteger, time, unsignedInteger } from '#shared/pki/der-writer.ts'
import { aditArc } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import fc from '#test/lab/properties.ts'

const isMalformed = (error: unknown): boolean => error instanceof PkiError && error.code === 'der-malformed'
const refused = (hexText: string, act: (bytes: Uint8Array) => unknown): void =>
  assert.throws(() => act(fromHex(hexText)), isMalformed, hexText)

test('object identifiers of any arc go both ways, those of 128 bits too', () => {
  const golden: [string, string][] = [
    ['2.5.29.17', '0603551d11'],
    ['1.2.840.113549.1.1.11', '06092a864886f70d01010b'],
    // 2.25 and the UUID f81d4fae-7dec-11d0-a765-00a0c91e6bf6 (X.667 §7, example).
    ['2.25.329800735698586629295641978511506172918', '06146983f09da7ebcfdee0c7a1a7b2c0948cc8f9d776'],
  ]
  for (const [dotted, encoded] of golden) {
    assert.equal(readOid(readWhole(fromHex(encoded), Tag.Oid)), dotted)
    assert.deepEqual(Buffer.from(oid(dotted)).toString('hex'), encoded)
  }
  assert.equal(readOid(readWhole(oid(`${aditArc}.1`), Tag.Oid)), `${aditArc}.1`)
  const arc = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 128n }),
    fc.bigInt({ min: 2n ** 46n - 3n, max: 2n ** 53n + 3n }),
    fc.bigInt(0n, 300n),
  )
  fc.assert(
    fc.property(fc.nat(39), fc.array(arc, { maxLength: 3 }), (second, rest) => {
      for (const dotted of [
        ['0', second, ...rest],
        ['1', second, ...rest],
        ['2', ...rest, second],
      ].map((arcs) => arcs.join('.')))
        assert.equal(readOid(readWhole(oid(dotted), Tag.Oid)), dotted)
    }),
  )
  for (const bad of ['0600', '06018a', '06028001', '060355808f']) refused(bad, (bytes) => readOid(readWhole(bytes, Tag.Oid)))
})

test('elements: lengths in the fewest octets, inside their parent, with nothing behind', () => {
  for (const bad of ['', '30', '3001', '308100', '30818000', '3080', '3082000130', '30840000000130', '1f0100', '300500']) {
    refused(bad, (bytes) => readWhole(bytes, Tag.Sequence))
  }
  refused('30000000', (bytes) => readWhole(bytes, Tag.Sequence))
  refused('0400', (bytes) => readWhole(bytes, Tag.Sequence))
  for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
    assert.equal(readWhole(element(Tag.OctetString, new Uint8Array(length)), Tag.OctetString).length, length)
  }
})

test('integers are minimal', () => {
  for (const [value, encoded] of [
    [0, '020100'],
    [127, '02017f'],
    [128, '02020080'],
    [65_536, '0203010000'],
  ] as const) {
    assert.equal(Buffer.from(smallInteger(value)).toString('hex'), encoded)
    assert.equal(readSmallInteger(readWhole(fromHex(encoded), Tag.Integer)), value)
  }
  assert.equal(Buffer.from(unsignedInteger(Uint8Array.of(0, 0, 255))).toString('hex'), '020200ff')
  for (const bad of ['0200', '02020001', '0202ff80', '0201ff', '02050100000000']) {
    refused(bad, (bytes) => readSmallInteger(readWhole(bytes, Tag.Integer)))
  }
})

test('named bits as KeyUsage has them', () => {
  assert.equal(Buffer.from(namedBits((1 << 5) | (1 << 6))).toString('hex'), '03020106')
  for (let bits = 1; bits < 512; bits++) assert.equal(readNamedBits(readWhole(namedBits(bits), Tag.BitString)), bits)
  for (const bad of ['0300', '03020006', '03020107', '030208ff', '030107', '0304000000ff']) {
    refused(bad, (bytes) => readNamedBits(readWhole(bytes, Tag.BitString)))
  }
})

test('times: UTCTime to 2049, GeneralizedTime from 2050, seconds and Z, and only days that exist', () => {
  const read = (bytes: Uint8Array): number => readTime(new DerReader(bytes).next())
  for (const iso of ['1950-01-01', '1999-12-31', '2049-12-31', '2050-01-01', '9999-12-31', '2028-02-29']) {
    assert.equal(read(time(Date.parse(iso))), Date.parse(iso), iso)
  }
  assert.equal(time(Date.parse('2049-12-31T23:59:59.999Z'))[0], Tag.UtcTime)
  assert.equal(time(Date.parse('2050-01-01T00:00:00Z'))[0], Tag.GeneralizedTime)
  const utc = (text: string): Uint8Array => element(Tag.UtcTime, Buffer.from(text))
  const general = (text: string): Uint8Array => element(Tag.GeneralizedTime, Buffer.from(text))
  const bad = [
    utc('2601010000Z'),
    utc('260101000000+0000'),
    utc('261301000000Z'),
    utc('260230000000Z'),
    utc('260101240000Z'),
    utc('260101006000Z'),
  ]
  for (const bytes of [
    ...bad,
    general('20260101000000Z'),
    general('20500101000000.5Z'),
    general('20500101000000'),
    element(Tag.Null),
  ]) {
    assert.throws(() => read(bytes), isMalformed)
  }
})

test('SET OF is ordered by encoding', () => {
  assert.deepEqual(setOf(Uint8Array.of(2, 1, 9), Uint8Array.of(2, 1, 1)), setOf(Uint8Array.of(2, 1, 1), Uint8Array.of(2, 1, 9)))
})

test('random bytes give an element or a PkiError, and what is written is read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        const reader = new DerReader(bytes)
        while (!reader.done) reader.next()
      } catch (error) {
        assert.ok(isMalformed(error))
      }
      assert.deepEqual(readWhole(sequence(bytes), Tag.Sequence), bytes)
    }),
    { seed: 11, numRuns: 500 },
  )
})
