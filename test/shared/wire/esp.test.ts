import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { DropReason } from '#shared/drop-reason.ts'
import {
  checkTrailer,
  ESP_TRAILER_LENGTH,
  EspNextHeader,
  espNextHeaderOf,
  espSequenceOf,
  espSpiOf,
  padLengthFor,
  putEspHeader,
  writeTrailer,
} from '#shared/wire/esp.ts'

test('ESP header: golden bytes both ways, words unsigned', () => {
  const out = new Uint8Array(9).fill(0xee)
  putEspHeader(out, 0xfedc_ba98, 0x8000_0001)
  assert.equal(toHex(out), 'fedcba9880000001ee')
  assert.equal(espSpiOf(out), 0xfedc_ba98)
  assert.equal(espSequenceOf(out), 0x8000_0001)
  putEspHeader(out, 1, 0xffff_ffff)
  assert.equal(espSpiOf(out), 1)
  assert.equal(espSequenceOf(out), 0xffff_ffff)
})

test('padding fills payload and trailer to the alignment, and is the least that does', () => {
  for (const align of [4, 16, 64, 128]) {
    for (let length = 0; length <= 300; length++) {
      const padLength = padLengthFor(length, align)
      assert.equal((length + padLength + ESP_TRAILER_LENGTH) % align, 0)
      assert.ok(padLength >= 0 && padLength < align)
    }
  }
})

test('ESP trailer: golden bytes (RFC 4303 §2.4: padding 1, 2, 3 …)', () => {
  const out = new Uint8Array(12).fill(0xee)
  assert.equal(writeTrailer(out, 3, 5, EspNextHeader.Ipv4), 10)
  assert.equal(toHex(out), 'eeeeee01020304050504eeee')
  assert.equal(checkTrailer(out, 10), 3)
  assert.equal(espNextHeaderOf(out, 10), EspNextHeader.Ipv4)
})

test('every pad length of every payload comes back', () => {
  const out = new Uint8Array(400)
  for (const payloadLength of [0, 1, 20, 100]) {
    for (let padLength = 0; padLength <= 255; padLength++) {
      const end = writeTrailer(out, payloadLength, padLength, EspNextHeader.Ipv6)
      assert.equal(checkTrailer(out, end), payloadLength)
      assert.equal(espNextHeaderOf(out, end), EspNextHeader.Ipv6)
    }
  }
})

test('A-26 a pad length beyond the packet, and any wrong byte of the padding, are refused', () => {
  assert.equal(checkTrailer(new Uint8Array(0), 0), DropReason.InnerMalformed)
  assert.equal(checkTrailer(fromHex('04'), 1), DropReason.InnerMalformed)
  assert.equal(checkTrailer(fromHex('0004'), 2), 0)
  assert.equal(checkTrailer(fromHex('0104'), 2), DropReason.InnerMalformed)
  assert.equal(checkTrailer(fromHex('01020304ff04'), 6), DropReason.InnerMalformed)
  const out = new Uint8Array(40)
  const end = writeTrailer(out, 20, 14, EspNextHeader.Ipv4)
  for (let at = 20; at < end - ESP_TRAILER_LENGTH; at++) {
    for (let bit = 1; bit < 0x100; bit <<= 1) {
      out[at]! ^= bit
      assert.equal(checkTrailer(out, end), DropReason.InnerMalformed, `byte ${at}`)
      out[at]! ^= bit
    }
  }
  assert.equal(checkTrailer(out, end), 20)
})
