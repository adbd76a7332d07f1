import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { COOKIE_DEMAND_LENGTH, writeCookieDemand } from '#shared/tunnel/cookie-demand.ts'
import { cookieOf, initiatorSpiOf, isFirstMessage, isIkeMessage, nonceOf } from '#shared/tunnel/first-message.ts'
import { decodeIkeMessage, encodeIkeMessage } from '#shared/wire/ike-message.ts'
import { ExchangeType, HeaderFlag, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { seeded } from './virtual-link.ts'

const header = {
  initiatorSpi: 0x0102_0304_0506_0708n,
  responderSpi: 0n,
  majorVersion: 2,
  minorVersion: 0,
  exchange: ExchangeType.IkeSaInit,
  flags: HeaderFlag.Initiator,
  messageId: 0,
}
const nonce = nativeSuite.random(32)
const vendor: IkePayload = { kind: 'vendor-id', id: nativeSuite.random(20) }
const payloads: readonly IkePayload[] = [vendor, { kind: 'nonce', nonce }, vendor]
const cookie = nativeSuite.random(16)
const shown: IkePayload = { kind: 'notify', protocol: 0, spi: new Uint8Array(), type: NotifyType.Cookie, data: cookie }

test('the demand is the message that the codec would make', () => {
  for (const exchange of [ExchangeType.IkeSaInit, ExchangeType.IkeSessionResume]) {
    const message = encodeIkeMessage({ ...header, exchange }, payloads)
    const demand = new Uint8Array(COOKIE_DEMAND_LENGTH).fill(0xaa)
    writeCookieDemand(message, cookie, demand)
    assert.deepEqual(demand, encodeIkeMessage({ ...header, exchange, flags: HeaderFlag.Response }, [shown]))
    assert.deepEqual(decodeIkeMessage(demand).payloads, [shown])
  }
})

test('what the door finds in a first message is what the codec finds', () => {
  const plain = encodeIkeMessage(header, payloads)
  assert.ok(isIkeMessage(plain) && isFirstMessage(plain))
  assert.deepEqual(initiatorSpiOf(plain), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
  assert.deepEqual(nonceOf(plain), nonce)
  assert.equal(cookieOf(plain), undefined)
  const proven = encodeIkeMessage(header, [shown, ...payloads])
  assert.deepEqual(cookieOf(proven), cookie)
  assert.deepEqual(nonceOf(proven), nonce)
  assert.equal(cookieOf(encodeIkeMessage(header, [vendor, shown])), undefined, 'a cookie stands first')
  for (const other of [
    { ...header, responderSpi: 1n },
    { ...header, messageId: 1 },
    { ...header, flags: HeaderFlag.Initiator | HeaderFlag.Response },
    { ...header, flags: 0 },
    { ...header, exchange: ExchangeType.IkeAuth },
  ])
    assert.ok(!isFirstMessage(encodeIkeMessage(other, payloads)))
  assert.ok(!isIkeMessage(encodeIkeMessage({ ...header, majorVersion: 1 }, payloads)))
})

test('A-19 cut at every length, and bytes of chance: nothing is read beyond the end, nothing found that the codec refuses', () => {
  const message = encodeIkeMessage(header, [shown, ...payloads])
  for (let length = 0; length < message.length; length++) assert.ok(!isIkeMessage(message.slice(0, length)))
  const dice = seeded(19)
  for (let i = 0; i < 20_000; i++) {
    const bytes = message.slice()
    for (let flips = 1 + Math.floor(dice() * 4); flips > 0; flips--)
      bytes[28 + Math.floor(dice() * (bytes.length - 28))] = dice() * 256
    const found = nonceOf(bytes)
    assert.ok(found === undefined || (found.length >= 16 && found.length <= 256))
    assert.ok((cookieOf(bytes)?.length ?? 0) <= bytes.length)
    try {
      const decoded = decodeIkeMessage(bytes).payloads.find((payload) => payload.kind === 'nonce')
      assert.deepEqual(found, decoded?.nonce)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
    }
  }
})
