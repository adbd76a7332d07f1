import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import {
  decodeIkeHeader,
  encodeIkeHeader,
  IKE_HEADER_LENGTH,
  type IkeHeader,
  lengthOfIkeHeader,
  NON_ESP_MARKER,
} from '#shared/wire/ike-header.ts'
import { ExchangeType, HeaderFlag, PayloadType } from '#shared/wire/ike-numbers.ts'
import { WireError } from '#shared/wire/wire-error.ts'

const golden = fromHex('0102030405060708 f102030405060708 2e 20 23 08 80000001 00000020 aabbccdd'.replaceAll(' ', ''))
const header: IkeHeader = {
  initiatorSpi: 0x0102_0304_0506_0708n,
  responderSpi: 0xf102_0304_0506_0708n,
  firstPayload: PayloadType.Sk,
  majorVersion: 2,
  minorVersion: 0,
  exchange: ExchangeType.IkeAuth,
  flags: HeaderFlag.Initiator,
  messageId: 0x8000_0001,
  length: 32,
}

test('IKE header: golden bytes both ways', () => {
  assert.deepEqual(decodeIkeHeader(golden), header)
  const out = new Uint8Array(IKE_HEADER_LENGTH + 3).fill(0xee)
  assert.equal(encodeIkeHeader(header, out, 2), lengthOfIkeHeader())
  assert.equal(toHex(out), `eeee${toHex(golden.subarray(0, IKE_HEADER_LENGTH))}ee`)
  assert.throws(() => encodeIkeHeader(header, new Uint8Array(IKE_HEADER_LENGTH - 1)), RangeError)
})

test('a view at an offset of its memory is read at its own offset', () => {
  const shifted = new Uint8Array(golden.length + 7)
  shifted.set(golden, 7)
  assert.deepEqual(decodeIkeHeader(shifted.subarray(7)), header)
})

test('A-19 header length ≠ datagram: cut or lengthened anywhere it is refused', () => {
  for (let cut = 0; cut < golden.length; cut++) assert.throws(() => decodeIkeHeader(golden.slice(0, cut)), WireError)
  assert.throws(() => decodeIkeHeader(new Uint8Array([...golden, 0])), { code: 'ike-length' })
  for (const length of [0, 4, 27, 28, 31, 33, 0xffff_ffff]) {
    const wrong = golden.slice()
    new DataView(wrong.buffer).setUint32(24, length)
    assert.throws(() => decodeIkeHeader(wrong), { code: 'ike-length' }, `${length}`)
  }
})

test('an initiator without SPI is refused, a responder without one is at the beginning', () => {
  const wrong = golden.slice()
  wrong.fill(0, 0, 8)
  assert.throws(() => decodeIkeHeader(wrong), { code: 'ike-spi' })
  const first = golden.slice()
  first.fill(0, 8, 16)
  assert.equal(decodeIkeHeader(first).responderSpi, 0n)
})

test('versions are read apart', () => {
  const other = golden.slice()
  other[17] = 0x1f
  const { majorVersion, minorVersion } = decodeIkeHeader(other)
  assert.deepEqual([majorVersion, minorVersion], [1, 15])
})

test('the non-ESP marker is four zero bytes', () => {
  assert.deepEqual(NON_ESP_MARKER, new Uint8Array(4))
})
