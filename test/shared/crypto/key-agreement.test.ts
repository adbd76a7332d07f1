import assert from 'node:assert/strict'
import { getDiffieHellman } from 'node:crypto'
import { test } from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { modpParameters } from '#shared/crypto/noble/modp-primes.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { DiffieHellman, KeyPair, ModpGroup, Suite } from '#shared/crypto/suite.ts'
import { group, keyExchanges } from '#shared/ikev2/transform.ts'
import fc from '#test/lab/properties.ts'
import { opensslSuites } from './openssl-here.ts'

const suites: readonly Suite[] = [nativeSuite, nobleSuite, ...opensslSuites]
const modpGroups: readonly ModpGroup[] = [14, 15, 16]

const bytesOf = (value: bigint, size: number): Uint8Array => fromHex(value.toString(16).padStart(2 * size, '0'))

function refusal(dh: DiffieHellman, pair: KeyPair, publicKey: Uint8Array): string | undefined {
  try {
    dh.shared(pair, publicKey)
    return undefined
  } catch (error) {
    assert.equal((error as Error).name, 'CryptoError')
    return (error as { code: string }).code
  }
}

for (const suite of suites) {
  for (const { id, name } of keyExchanges) {
    const dh = group(id, suite)!
    const size = dh.publicKeyLength

    test(`A-15 ${name}: zero, wrong lengths and no bytes at all are refused (${suite.name})`, () => {
      const pair = dh.generate()
      const zero = refusal(dh, pair, new Uint8Array(size))
      assert.ok(zero === 'low-order' || zero === 'off-curve', String(zero))
      for (const length of [0, 1, size - 1, size + 1, 2 * size])
        assert.equal(refusal(dh, pair, new Uint8Array(length).fill(2)), 'length', `${length} bytes`)
    })
  }

  test(`A-15 x25519: every point of small order is refused (${suite.name})`, () => {
    const pair = suite.x25519.generate()
    for (const point of [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ])
      assert.equal(refusal(suite.x25519, pair, fromHex(point)), 'low-order', point)
  })

  for (const name of ['ecp256', 'ecp384', 'ecp521']) {
    const dh = group(keyExchanges.find((one) => one.name === name)!.id, suite)!

    test(`A-15 ${name}: points off the curve, coordinates beyond the field and infinity are refused (${suite.name})`, () => {
      const pair = dh.generate()
      for (let i = 0; i < 20; i++) {
        const point = dh.generate().publicKey.slice()
        const at = Math.floor((i * point.length) / 20)
        point[at] = point[at]! ^ 1
        assert.equal(refusal(dh, pair, point), 'off-curve')
      }
      assert.equal(refusal(dh, pair, new Uint8Array(dh.publicKeyLength).fill(0xff)), 'off-curve')
    })
  }
}

test('A-15 modp: 0, 1, p-1, p and everything beyond are refused, 2 is not, and p-2 is at most refused by name', () => {
  for (const suite of suites)
    for (const id of modpGroups) {
      const dh = suite.modp(id)
      const size = dh.publicKeyLength
      const { prime } = modpParameters(id)
      const pair = dh.generate()
      const said = (value: bigint): string | undefined => refusal(dh, pair, bytesOf(value, size))
      for (const value of [0n, 1n, prime - 1n]) assert.equal(said(value), 'low-order')
      for (const value of [prime, prime + 1n, (1n << BigInt(8 * size)) - 1n]) assert.equal(said(value), 'off-curve')
      assert.equal(said(2n), undefined)
      // Outside the subgroup of prime order, which some releases of Node look at.
      assert.ok([undefined, 'off-curve'].includes(said(prime - 2n)))
    }
})

test('the MODP primes that we compute are the ones that OpenSSL has written down', () => {
  for (const id of modpGroups)
    assert.equal(modpParameters(id).prime, BigInt(`0x${getDiffieHellman(`modp${id}`).getPrime('hex')}`))
})

for (const id of modpGroups)
  test(`P-14 modp ${id}: both providers agree, leading zeros kept`, () => {
    const [native, noble] = suites.map((suite) => suite.modp(id)) as [DiffieHellman, DiffieHellman]
    for (let i = 0; i < 2; i++) {
      const [a, b] = [native.generate(), noble.generate()]
      assert.deepEqual(noble.pair(a.privateKey), a)
      assert.deepEqual(native.pair(b.privateKey), b)
      const secret = native.shared(a, b.publicKey)
      assert.equal(secret.length, native.sharedLength)
      assert.deepEqual(noble.shared(b, a.publicKey), secret)
    }
    // 2^1 and its powers are short numbers.
    const pair = native.pair(Uint8Array.of(1))
    assert.equal(pair.publicKey.length, native.publicKeyLength)
    const two = bytesOf(2n, native.publicKeyLength)
    for (const dh of [native, noble]) assert.deepEqual(dh.shared(pair, two), two)
    for (const dh of [native, noble]) {
      assert.throws(() => dh.pair(new Uint8Array(0)), { name: 'CryptoError', code: 'length' })
      assert.throws(() => dh.pair(new Uint8Array(dh.publicKeyLength + 1).fill(1)), { name: 'CryptoError', code: 'length' })
      assert.throws(() => dh.pair(new Uint8Array(5)), { name: 'CryptoError', code: 'key' })
    }
  })

test('P-13 key agreement: no bytes of a stranger throw anything but a CryptoError', () => {
  for (const { id } of keyExchanges.slice(0, 4)) {
    const [native, noble] = suites.map((suite) => group(id, suite)!) as [DiffieHellman, DiffieHellman]
    const pair = native.generate()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 140 }), (bytes) => {
        assert.equal(refusal(native, pair, bytes), refusal(noble, pair, bytes))
      }),
      { numRuns: 60 },
    )
  }
})
