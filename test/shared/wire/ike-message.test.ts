import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { decodeIkeMessage, encodeIkeMessage, type IkeHeaderFields } from '#shared/wire/ike-message.ts'
import { ExchangeType, HeaderFlag } from '#shared/wire/ike-numbers.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { sampleMessages } from './sample-messages.ts'

const fields = (exchange: number): IkeHeaderFields => ({
  initiatorSpi: 0x0102_0304_0506_0708n,
  responderSpi: 0n,
  majorVersion: 2,
  minorVersion: 0,
  exchange,
  flags: HeaderFlag.Initiator,
  messageId: 0,
})

test('every sample comes back whole, with first payload and length filled in', () => {
  for (const { name, exchange, payloads } of sampleMessages) {
    const datagram = encodeIkeMessage(fields(exchange), payloads)
    const message = decodeIkeMessage(datagram)
    assert.deepEqual(message.payloads, payloads, name)
    assert.equal(message.header.length, datagram.length)
    assert.deepEqual(encodeIkeMessage(message.header, message.payloads), datagram)
  }
})

test('an INFORMATIONAL without payloads is its header', () => {
  const datagram = encodeIkeMessage(fields(ExchangeType.Informational), [])
  assert.equal(toHex(datagram), `0102030405060708${'00'.repeat(8)}00202508000000000000001c`)
  assert.deepEqual(decodeIkeMessage(datagram).payloads, [])
})

test('A-19 every message cut or lengthened anywhere is refused, also where its header agrees', () => {
  for (const { name, exchange, payloads } of sampleMessages) {
    const datagram = encodeIkeMessage(fields(exchange), payloads)
    for (let cut = 0; cut < datagram.length; cut++) {
      const part = datagram.slice(0, cut)
      assert.throws(() => decodeIkeMessage(part), { code: 'ike-length' }, `${name} cut at ${cut}`)
      if (cut < 28) continue
      new DataView(part.buffer).setUint32(24, cut)
      assert.throws(() => decodeIkeMessage(part), WireError, `${name} cut at ${cut}`)
    }
    const longer = new Uint8Array([...datagram, 0])
    assert.throws(() => decodeIkeMessage(longer), { code: 'ike-length' })
    new DataView(longer.buffer).setUint32(24, longer.length)
    assert.throws(() => decodeIkeMessage(longer), { code: 'trailing' })
  }
})

test('A-19 a message of another major version is refused, of another minor one read', () => {
  const datagram = fromHex(`0102030405060708${'00'.repeat(8)}00202508000000000000001c`)
  for (const version of [0x00, 0x10, 0x1f, 0x30, 0xf0]) {
    datagram[17] = version
    assert.throws(() => decodeIkeMessage(datagram), { code: 'ike-version' })
  }
  datagram[17] = 0x2f
  assert.equal(decodeIkeMessage(datagram).header.minorVersion, 15)
})
