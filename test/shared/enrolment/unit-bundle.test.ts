import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleBlock, bundleLimit, decodeBundle, encodeBundle, type UnitBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError } from '#shared/errors.ts'
import { encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'
import fc from '#test/lab/properties.ts'

const desk = new DeskInMemory()
await desk.open('10000000a1b2c3d4', 'image')
const bundle = await desk.bundle('10000000a1b2c3d4')
const bytes = encodeBundle(bundle, suite)

const isDamaged = (error: unknown): boolean => {
  assert.ok(error instanceof AditError && error.code === 'bundle-damaged', String(error))
  assert.ok(!JSON.stringify(error).includes(bundle.identityPem.slice(40, 60)), 'no key is shown')
  return true
}

/** A body of one's own under a hash that fits. */
function framed(body: Uint8Array): Uint8Array {
  const head = Buffer.concat([Buffer.from('ADITUNIT'), Buffer.from([0, 0, body.length >> 8, body.length & 0xff]), body])
  return Buffer.concat([head, suite.hash('sha256', head)])
}

test('a bundle goes through its file, which has room for the next try', () => {
  assert.deepEqual(decodeBundle(bytes, suite), bundle)
  assert.equal(bytes.length % bundleBlock, 0)
  const plain: UnitBundle = { ...bundle, api: ['https://a.example'] }
  const { addresses: _, fleetKey: __, ...least } = plain
  assert.deepEqual(decodeBundle(encodeBundle(least, suite), suite), least)
})

test('any bundle goes through its file', () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
  const words = fc.array(fc.string({ maxLength: 40 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(key, words, key, (tunnelKey, api, fleetKey) => {
      const any = { ...bundle, tunnelKey, api, fleetKey }
      assert.deepEqual(decodeBundle(encodeBundle(any, suite), suite), any)
    }),
    { seed: 11, numRuns: 40 },
  )
})

test('F-02 a torn bundle is noticed, wherever it was torn', () => {
  const used = bytes.findLastIndex((byte) => byte !== 0) + 1
  for (let length = 0; length < used; length += 7) {
    assert.throws(() => decodeBundle(bytes.subarray(0, length), suite), isDamaged, `cut at ${length}`)
    // What a card holds where the rest was not written: zeros.
    const torn = new Uint8Array(bytes.length)
    torn.set(bytes.subarray(0, length))
    assert.throws(() => decodeBundle(torn, suite), isDamaged, `zeros from ${length}`)
  }
  for (let at = 0; at < bytes.length; at += 13) {
    const spoilt = Uint8Array.from(bytes)
    spoilt[at]! ^= 0x10
    assert.throws(() => decodeBundle(spoilt, suite), isDamaged, `bit at ${at}`)
  }
  assert.throws(() => decodeBundle(new Uint8Array(bundleLimit + 1), suite), isDamaged)
})

test('a bundle with other content than it should have is refused though its hash fits', () => {
  const { serial, name, identityPem: key, tunnelKey: tunnel, chain, root, api } = bundle
  const fields = { v: 1, serial, name, key, tunnel, chain, root, api: [...api] }
  assert.equal(decodeBundle(framed(encodeCanonicalCbor(fields)), suite).serial, serial)
  const wrong: object[] = [
    { v: 2 },
    { serial: '../../etc' },
    { serial: 7 },
    { name: 'Pi 1' },
    { key: 'no pem' },
    { tunnel: new Uint8Array(31) },
    { chain: '' },
    { root: null },
    { api: [] },
    { api: Array(9).fill('https://a.example') },
    { api: [1] },
    { at: 'x' },
    { fleet: new Uint8Array(33) },
  ]
  for (const change of wrong)
    assert.throws(
      () => decodeBundle(framed(encodeCanonicalCbor({ ...fields, ...change })), suite),
      isDamaged,
      JSON.stringify(change),
    )
  assert.throws(() => decodeBundle(framed(Uint8Array.of(0x81)), suite), isDamaged)
  assert.throws(() => decodeBundle(framed(Uint8Array.of(0x01)), suite), isDamaged)
})

test('a bundle that is too long is not made', () => {
  assert.throws(() => encodeBundle({ ...bundle, chain: 'x'.repeat(bundleLimit) }, suite), RangeError)
})
