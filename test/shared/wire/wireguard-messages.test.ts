import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { decodeCookieReply, encodeCookieReply, lengthOfCookieReply } from '#shared/wire/wireguard-cookie.ts'
import {
  counterHighOf,
  counterLowOf,
  counterOf,
  decodeData,
  encodeData,
  isData,
  putDataHeader,
} from '#shared/wire/wireguard-data.ts'
import { decodeInitiation, encodeInitiation, lengthOfInitiation } from '#shared/wire/wireguard-initiation.ts'
import { decodeResponse, encodeResponse, lengthOfResponse } from '#shared/wire/wireguard-response.ts'

interface Format {
  type: number
  length: number
  /** Decodes and encodes again. */
  again(bytes: Uint8Array): Uint8Array
}

const encoded = <T>(encode: (message: T, out: Uint8Array, at?: number) => number, message: T, length: number): Uint8Array => {
  const out = new Uint8Array(length + 3).fill(0xee)
  assert.equal(encode(message, out, 2), length)
  assert.deepEqual([out[0], out[1], out[length + 2]], [0xee, 0xee, 0xee], 'nothing beside it is touched')
  assert.throws(() => encode(message, new Uint8Array(length - 1)), RangeError)
  return out.slice(2, length + 2)
}

const formats: Record<string, Format> = {
  initiation: { type: 1, length: 148, again: (b) => encoded(encodeInitiation, decodeInitiation(b), lengthOfInitiation()) },
  response: { type: 2, length: 92, again: (b) => encoded(encodeResponse, decodeResponse(b), lengthOfResponse()) },
  'cookie reply': { type: 3, length: 64, again: (b) => encoded(encodeCookieReply, decodeCookieReply(b), lengthOfCookieReply()) },
  data: { type: 4, length: 112, again: (b) => encoded(encodeData, decodeData(b), 112) },
}

for (const [name, { type, length, again }] of Object.entries(formats)) {
  const sample = (): Uint8Array => {
    const bytes = nativeSuite.random(length)
    bytes.set([type, 0, 0, 0])
    return bytes
  }

  test(`${name}: decoded and encoded again it is the same`, () => {
    for (let i = 0; i < 50; i++) {
      const bytes = sample()
      assert.deepEqual(again(bytes), bytes)
    }
  })

  test(`${name}: cut or lengthened anywhere it is refused, never read short`, () => {
    const bytes = sample()
    const least = name === 'data' ? 32 : length
    for (let cut = 0; cut < least; cut++) assert.throws(() => again(bytes.slice(0, cut)), WireError)
    if (name !== 'data') assert.throws(() => again(new Uint8Array([...bytes, 0])), WireError)
  })

  test(`${name}: another type or a reserved bit is refused`, () => {
    for (let bit = 0; bit < 32; bit++) {
      const bytes = sample()
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      assert.throws(() => again(bytes), { name: 'WireError', code: 'wireguard-type' })
      if (name === 'data') assert.equal(isData(bytes), false)
    }
  })
}

test('counters of data messages are exact in 64 bits, indices in 32', () => {
  for (const counter of [0n, 1n, 0xffff_ffffn, 1n << 32n, (1n << 53n) + 1n, (1n << 64n) - 1n]) {
    const out = new Uint8Array(32)
    encodeData({ receiver: 0xfedc_ba98, counter, sealed: new Uint8Array(16) }, out)
    assert.equal(counterOf(out), counter)
    assert.equal(decodeData(out).receiver, 0xfedc_ba98)
    const header = new Uint8Array(16)
    putDataHeader(header, 0xfedc_ba98, counterHighOf(out), counterLowOf(out))
    assert.deepEqual(header, out.slice(0, 16))
  }
})
