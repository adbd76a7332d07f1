import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { PayloadType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { decodePayloads, encodePayloads, lengthOfPayloads, MAX_PAYLOADS, writePayloads } from '#shared/wire/ike-payloads.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { sampleMessages } from './sample-messages.ts'

const nothing = new Uint8Array(0)

test('an empty chain is no payload and no bytes', () => {
  assert.deepEqual(decodePayloads(0, nothing), [])
  assert.deepEqual(encodePayloads([]), { first: 0, bytes: nothing })
})

test('every sample comes back from encode and decode, and its length is known before', () => {
  for (const { name, payloads } of sampleMessages) {
    const { first, bytes } = encodePayloads(payloads)
    assert.equal(bytes.length, lengthOfPayloads(payloads), name)
    assert.deepEqual(decodePayloads(first, bytes), payloads, name)
    const beside = new Uint8Array(bytes.length + 9)
    assert.equal(writePayloads(payloads, beside, 5), first)
    assert.deepEqual(beside.slice(5, -4), bytes, name)
  }
})

test('A-19 every sample cut anywhere is refused', () => {
  for (const { name, payloads } of sampleMessages) {
    const { first, bytes } = encodePayloads(payloads)
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.throws(() => decodePayloads(first, bytes.slice(0, cut)), WireError, `${name} cut at ${cut}`)
    }
    assert.throws(() => decodePayloads(first, new Uint8Array([...bytes, 0])), { code: 'trailing' }, name)
  }
})

test('A-19 payload length 0, below 4, and above the rest', () => {
  for (const length of ['0000', '0001', '0003', '0009', 'ffff']) {
    assert.throws(
      () => decodePayloads(PayloadType.VendorId, fromHex(`0000${length}aabbccdd`)),
      { code: 'ike-payload-length' },
      length,
    )
  }
})

test('A-19 a next payload that points on for ever ends with the bytes', () => {
  const loop = fromHex(`${PayloadType.VendorId.toString(16)}000004`.repeat(20))
  assert.throws(() => decodePayloads(PayloadType.VendorId, loop), { code: 'short' })
})

test('A-19 a hundred thousand headers cost no more than fifty', () => {
  const many = fromHex('c8000004'.repeat(100_000))
  assert.throws(() => decodePayloads(0xc8, many), { code: 'ike-payloads' })
  const began = process.hrtime.bigint()
  for (let i = 0; i < 100; i++) assert.throws(() => decodePayloads(0xc8, many))
  assert.ok(process.hrtime.bigint() - began < 500_000_000n)
})

test('A-19 payloads of IKEv1 are payloads that we do not know', () => {
  for (let type = 1; type <= 32; type++) {
    assert.deepEqual(decodePayloads(type, fromHex('00000004')), [{ kind: 'unknown', type, critical: false, data: nothing }])
  }
})

test('A-18 too many of a type, and too many in all, are refused', () => {
  const notify: IkePayload = { kind: 'notify', protocol: 0, spi: nothing, type: 16_384, data: nothing }
  const cert: IkePayload = { kind: 'cert', encoding: 4, data: new Uint8Array(1) }
  const certReq: IkePayload = { kind: 'cert-req', encoding: 4, data: nothing }
  const vendor: IkePayload = { kind: 'vendor-id', id: nothing }
  const deletion: IkePayload = { kind: 'delete', protocol: 3, spis: [] }
  const unknown: IkePayload = { kind: 'unknown', type: 200, critical: false, data: nothing }
  const nonce: IkePayload = { kind: 'nonce', nonce: new Uint8Array(16) }
  const sa: IkePayload = {
    kind: 'sa',
    proposals: [{ number: 1, protocol: 1, spi: nothing, transforms: [{ type: 1, id: 20 }] }],
  }
  const ke: IkePayload = { kind: 'ke', group: 31, data: new Uint8Array(32) }
  const id: IkePayload = { kind: 'id-i', type: 2, data: new Uint8Array(1) }
  const auth: IkePayload = { kind: 'auth', method: 2, data: new Uint8Array(1) }
  const ts: IkePayload = { kind: 'ts-i', selectors: [] }
  const cp: IkePayload = { kind: 'cp', type: 1, attributes: [] }
  const eap: IkePayload = { kind: 'eap', data: nothing }
  const rows: readonly [IkePayload, number][] = [
    [notify, 20],
    [cert, 8],
    [certReq, 20],
    [vendor, 20],
    [deletion, 20],
    [unknown, MAX_PAYLOADS],
    ...[nonce, sa, ke, id, auth, cp, eap].map((payload): [IkePayload, number] => [payload, 1]),
  ]
  for (const [payload, cap] of rows) {
    const most = encodePayloads(Array.from({ length: cap }, () => payload))
    assert.equal(decodePayloads(most.first, most.bytes).length, cap, payload.kind)
    const more = encodePayloads(Array.from({ length: cap + 1 }, () => payload))
    assert.throws(() => decodePayloads(more.first, more.bytes), { code: 'ike-payloads' }, payload.kind)
  }
  assert.throws(() => decodePayloads(PayloadType.TsI, encodePayloads([ts, ts]).bytes), { name: 'WireError' })
  const mixed = [notify, certReq, vendor].flatMap((payload) => Array.from({ length: 17 }, () => payload))
  const { first, bytes } = encodePayloads(mixed)
  assert.throws(() => decodePayloads(first, bytes), { code: 'ike-payloads' })
})

test('byte fields are views into the message and never Node buffers', () => {
  const datagram = Buffer.from('00000008aabbccdd', 'hex')
  const [payload] = decodePayloads(PayloadType.VendorId, datagram)
  assert.ok(payload?.kind === 'vendor-id')
  assert.equal(payload.id.constructor, Uint8Array)
  datagram[4] = 0x55
  assert.equal(payload.id[0], 0x55)
})

test('a payload of more than 65,535 bytes is not written', () => {
  assert.throws(() => encodePayloads([{ kind: 'vendor-id', id: new Uint8Array(65_532) }]), RangeError)
})
